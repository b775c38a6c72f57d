"""The databases of the bench."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.cluster import Recipe
from bench.dataset import EXPIRES_AT, password_credentials
from bench.recipes import BCRYPT_COST, growth_recipe, userauth_recipe
from bench.targets import Target, basic, userauth
from rules.password_scheme import PasswordScheme
from tests.harness.backups import contents
from tests.harness.databases import new_database
from tests.harness.sql import run_sql

USERS = 5
PARAMETERS = {"unknown_hash": "a hash", "expires_at": EXPIRES_AT}


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    with new_database(postgres, "bench_recipe") as url:
        yield url


@pytest.fixture(autouse=True)
def _logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.processes.LOGS", tmp_path)


def create(database: str, recipe: Recipe) -> None:
    """Run the statements of a recipe; the first user has its password."""
    hashed = PasswordScheme(cost=BCRYPT_COST).hash(password_credentials()[0].password)
    for statement in recipe.statements:
        parameters = PARAMETERS | {"hashes": [hashed]} if "%(" in statement else None
        run_sql(database, statement, parameters)


def rows(database: str) -> dict[str, list[object]]:
    """Return the rows of all tables, except what a server stores when it starts."""
    return {name: each for name, each in contents(database).items() if name != "userauth_schema"}


def log_in(server: Target) -> None:
    headers = {"Authorization": basic(password_credentials()[0])}
    response = httpx.get(f"{server.user_url}/login", headers=headers, timeout=60)
    assert response.status_code == 200


def register(server: Target) -> None:
    body = {"email": "susan@example.com", "password": "correct horse battery"}
    response = httpx.post(f"{server.user_url}/register", json=body, timeout=60)
    assert response.status_code == 201


def test_the_next_run_of_growth_finds_no_users_and_logins_of_the_last(database: str) -> None:
    recipe = growth_recipe(USERS)
    create(database, recipe)
    before = rows(database)
    with userauth(database, "recipe", USERAUTH_REGISTRATION__VERIFICATION="off") as server:
        log_in(server)
        register(server)
    changed = {name for name, each in rows(database).items() if each != before[name]}
    assert changed == {"users", "tokens", "events", "throttle"}
    run_sql(database, recipe.restore)
    assert rows(database) == before


def test_the_next_group_finds_the_tokens_valid_that_logins_of_the_last_have_revoked(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.recipes.USERS", USERS)
    recipe = userauth_recipe("bench_recipe", USERS)
    create(database, recipe)
    before = rows(database)
    with userauth(database, "recipe", USERAUTH_TOKENS__MAX_PER_USER="1") as server:
        log_in(server)
    revoked = "SELECT count(*) FROM tokens WHERE revoked_at IS NOT NULL"
    assert run_sql(database, revoked) == [(1,)]
    changed = {name for name, each in rows(database).items() if each != before[name]}
    assert changed == {"tokens", "events", "throttle"}
    run_sql(database, recipe.restore)
    assert rows(database) == before

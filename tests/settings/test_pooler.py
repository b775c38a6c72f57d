"""The pooler between the server and Postgres, and the URL without it."""

import pytest

from settings.choices import Pooler
from tests.harness.settings_files import SECRET, Faults, Load

POOLED = f"postgresql://user:{SECRET}@pooler.example:6432/users"
DIRECT = f"postgresql://user:{SECRET}@db.example/users"
URL, DIRECT_URL, POOLER = (
    "DATABASE_URL",
    "USERAUTH_DATABASE__DIRECT_URL",
    "USERAUTH_DATABASE__POOLER",
)


def test_migrations_and_commands_use_the_direct_url(load: Load) -> None:
    database = load({URL: POOLED, DIRECT_URL: DIRECT, POOLER: "transaction"}).database
    assert database.pooler is Pooler.TRANSACTION
    assert database.direct.pooler is Pooler.NONE
    assert database.direct.url.get_secret_value() == DIRECT
    assert not database.direct.direct_url


def test_without_a_direct_url_commands_use_the_pooler(load: Load) -> None:
    database = load({URL: POOLED, POOLER: "session"}).database
    assert database.direct is database


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({POOLER: "session"}, 'must be "none": the server connects to the embedded'),
        ({URL: POOLED, POOLER: "transaction"}, "set database.direct_url"),
        ({URL: f"{POOLED}?options=-csearch_path%3Dx", POOLER: "session"}, "remove options="),
        ({URL: POOLED, POOLER: "statement"}, "must be none, session or transaction"),
    ],
)
def test_a_pooler_that_does_not_fit_the_urls_is_rejected(
    faults: Faults, variables: dict[str, str], fault: str
) -> None:
    (line,) = faults(variables)
    assert line.startswith(f'database.pooler = "{variables[POOLER]}" (from {POOLER}): {fault}')


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({DIRECT_URL: DIRECT}, "must be empty"),
        ({URL: POOLED, DIRECT_URL: "embedded"}, "must be postgresql://"),
        ({URL: POOLED, DIRECT_URL: f"mysql://user:{SECRET}@one/users"}, "must be postgresql://"),
    ],
)
def test_a_wrong_direct_url_is_rejected_without_its_password(
    faults: Faults, variables: dict[str, str], fault: str
) -> None:
    (line,) = faults(variables)
    assert line.startswith(f"database.direct_url = ********** (from {DIRECT_URL}): {fault}")
    assert SECRET not in line


def test_the_file_may_name_a_pooler_whose_urls_are_variables(load: Load) -> None:
    toml = '[development.database]\npooler = "transaction"\n'
    database = load({URL: POOLED, DIRECT_URL: DIRECT}, toml).database
    assert database.pooler is Pooler.TRANSACTION

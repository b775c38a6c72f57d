"""Migrations of each released schema version."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.schema import MIGRATIONS, SCHEMAS
from db.schema_version import VERSION
from tests.harness.databases import DESCRIBE, apply, data, fill, new_database
from tests.harness.sql import run_sql

RELEASED = sorted(SCHEMAS.glob("*.sql"))


@pytest.fixture(params=RELEASED, ids=lambda path: f"from {path.stem}")
def old(request: pytest.FixtureRequest, postgres: str) -> Iterator[str]:
    """Create a database with an earlier schema and data."""
    path: Path = request.param
    with new_database(postgres, f"migrated{path.stem}") as dsn:
        fill(dsn, path)
        yield dsn


def test_a_released_schema_is_migrated_to_the_current_version_with_its_data(
    old: str, dsn: str
) -> None:
    before = data(old)
    apply(old)
    assert data(old) == before
    assert run_sql(old, "SELECT version FROM userauth_schema") == [(VERSION,)]
    assert sorted(run_sql(old, DESCRIBE)) == sorted(run_sql(dsn, DESCRIBE))
    apply(old)
    assert data(old) == before


def test_users_of_an_earlier_version_are_unverified_and_never_become_void(old: str) -> None:
    apply(old)
    columns = "SELECT email_verified_at, verify_until, language FROM users"
    assert run_sql(old, columns) == [(None, None, None)]


def test_tokens_of_an_earlier_version_are_no_sessions(old: str) -> None:
    apply(old)
    assert run_sql(old, "SELECT DISTINCT kind, max_idle FROM tokens") == [("token", None)]


def insert_event(dsn: str, at: str, kind: str) -> int:
    """Insert an event; return its id."""
    inserted = run_sql(
        dsn,
        "INSERT INTO events (at, kind, outcome) VALUES (%s::timestamptz, %s, 'success')"
        " RETURNING id",
        (at, kind),
    )
    return int(inserted[0][0])


def test_events_of_an_earlier_version_keep_their_ids_and_new_ones_follow(old: str) -> None:
    if run_sql(old, "SELECT to_regclass('events')") == [(None,)]:
        run_sql(old, "".join(path.read_text(encoding="utf-8") for path in to_version(old, 3)))
    times = ("2020-01-01Z", "now", "2099-07-01Z", "2025-12-31Z")
    before = [(insert_event(old, at, f"kind {at}"), f"kind {at}") for at in times]
    run_sql(old, "SELECT nextval(pg_get_serial_sequence('events', 'id'))")
    apply(old)
    assert run_sql(old, "SELECT id, kind FROM events ORDER BY id") == before
    assert insert_event(old, "now", "new") == before[-1][0] + 2
    partitions = "SELECT DISTINCT tableoid::regclass::text FROM events WHERE {} ORDER BY 1"
    [(name,)] = run_sql(old, partitions.format("at <= now()"))
    assert name.startswith("events_before_")
    assert run_sql(old, partitions.format("at > now()")) == [("events_default",)]


def to_version(dsn: str, version: int) -> list[Path]:
    """Return the migrations of a database to an earlier version than the current one."""
    [(current,)] = run_sql(dsn, "SELECT version FROM userauth_schema")
    return [MIGRATIONS / f"{number}.sql" for number in range(current + 1, version + 1)]


def test_a_failed_migration_changes_nothing(
    old: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for file in MIGRATIONS.glob("*.sql"):
        text = file.read_text(encoding="utf-8") + "SELECT 1 / 0;"
        (tmp_path / file.name).write_text(text, encoding="utf-8")
    monkeypatch.setattr("db.schema.MIGRATIONS", tmp_path)
    before = sorted(run_sql(old, DESCRIBE))
    with pytest.raises(Exception, match="DivisionByZero"):
        apply(old)
    assert sorted(run_sql(old, DESCRIBE)) == before


def test_each_version_has_a_migration_and_each_earlier_one_its_schema() -> None:
    versions = range(1, VERSION)
    assert [path.stem for path in RELEASED] == [str(version) for version in versions]
    assert sorted(int(path.stem) for path in MIGRATIONS.glob("*.sql")) == [
        version + 1 for version in versions
    ]

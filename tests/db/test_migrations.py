"""Migrations of each released schema version."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.schema import MIGRATIONS, SCHEMAS, VERSION
from tests.harness.databases import apply, new_database
from tests.harness.sql import run_sql

RELEASED = sorted(SCHEMAS.glob("*.sql"))
# The columns, constraints, indexes and options of the tables.
DESCRIBE = """
SELECT 'column', table_name::text, column_name::text, data_type::text, is_nullable::text,
    column_default::text
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), '', ''
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index', tablename::text, indexname::text, indexdef, '', ''
FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'options', oid::regclass::text, '', array_to_string(reloptions, ','), '', ''
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
"""


@pytest.fixture(params=RELEASED, ids=lambda path: f"from {path.stem}")
def old(request: pytest.FixtureRequest, postgres: str) -> Iterator[str]:
    """Create a database with an earlier schema and data."""
    path: Path = request.param
    with new_database(postgres, f"migrated{path.stem}") as dsn:
        fill(dsn, path)
        yield dsn


def fill(dsn: str, schema: Path) -> None:
    """Apply an earlier schema, and insert data."""
    run_sql(dsn, schema.read_text(encoding="utf-8"))
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, name, password_hash, password_version)"
        " VALUES ('Susan@example.com', 'susan@example.com', 'Susan', 'a hash', 3);"
        " INSERT INTO tokens (id, user_id, created_at, expires_at, revoked_at)"
        " SELECT gen_random_uuid(), id, '2026-01-01Z', '2026-01-02Z',"
        "  CASE n WHEN 1 THEN timestamptz '2026-01-01 12:00Z' END"
        " FROM users, generate_series(1, 3) AS n",
    )


def data(dsn: str) -> list[object]:
    return [
        run_sql(dsn, "SELECT email, name, password_hash, password_version FROM users"),
        run_sql(dsn, "SELECT id, user_id, created_at, expires_at, revoked_at FROM tokens"),
    ]


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

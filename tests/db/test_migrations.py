"""A database of each released version is brought up to date, and keeps its data."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.schema import MIGRATIONS, SCHEMAS, VERSION
from tests.harness.databases import DESCRIBE, apply, data, fill, new_database
from tests.harness.sql import run_sql

RELEASED = sorted(SCHEMAS.glob("*.sql"))


@pytest.fixture(params=RELEASED, ids=lambda path: f"from {path.stem}")
def old(request: pytest.FixtureRequest, postgres: str) -> Iterator[str]:
    """Make a database of an earlier version, with data in it."""
    path: Path = request.param
    with new_database(postgres, f"migrated{path.stem}") as dsn:
        fill(dsn, path)
        yield dsn


def test_a_released_schema_becomes_the_present_one_and_keeps_its_data(old: str, dsn: str) -> None:
    before = data(old)
    apply(old)
    assert data(old) == before
    assert run_sql(old, "SELECT version FROM userauth_schema") == [(VERSION,)]
    assert sorted(run_sql(old, DESCRIBE)) == sorted(run_sql(dsn, DESCRIBE))
    apply(old)
    assert data(old) == before


def test_a_migration_that_fails_changes_nothing(
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


def test_there_is_a_migration_to_each_version_from_each_released_one() -> None:
    versions = range(1, VERSION)
    assert [path.stem for path in RELEASED] == [str(version) for version in versions]
    assert sorted(int(path.stem) for path in MIGRATIONS.glob("*.sql")) == [
        version + 1 for version in versions
    ]

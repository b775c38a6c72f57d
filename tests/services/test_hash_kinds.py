"""The kinds of imported hashes are measured when the server starts."""

from collections.abc import Iterable, Sequence

import pytest

from db.pool import Database
from rules.imported_hashes import read
from rules.passwords import PasswordHasher
from services.hash_kinds import HashKinds
from tests.harness.databases import use
from tests.harness.hashing import new_hasher
from tests.harness.imported_users import MAKERS
from tests.harness.sql import run_sql

KINDS = ["bcrypt 2b", "argon2id", "kratos scrypt"]


def import_users(dsn: str, hashes: Sequence[str]) -> None:
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash)"
        " SELECT n, n, stored FROM unnest(%s) WITH ORDINALITY AS each (stored, n)",
        (list(hashes),),
    )


def test_each_kind_is_measured_once(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [MAKERS[name]("correct horse") for name in KINDS for _ in range(3)]
    import_users(dsn, [*hashes, "$userauth-bcrypt-sha384$2b$04$", "no hash at all"])
    measured: list[str] = []
    measure = PasswordHasher.measure

    async def recorded(self: PasswordHasher, stored: str) -> None:
        measured.append(read(stored).kind)
        await measure(self, stored)

    monkeypatch.setattr(PasswordHasher, "measure", recorded)
    hasher = new_hasher()

    async def work(database: Database) -> None:
        assert await HashKinds(database, hasher).measure() > 0

    use(dsn, work)
    hasher.close()
    assert sorted(measured) == sorted({read(stored).kind for stored in hashes})


def kinds_retained(dsn: str, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Find the kinds in use; return those retained, or nothing if no kind is discarded."""
    retained: list[set[str]] = []

    def record(_hasher: PasswordHasher, kinds: Iterable[str]) -> None:
        retained.append(set(kinds))

    monkeypatch.setattr(PasswordHasher, "retain_kinds", record)
    hasher = new_hasher()

    async def work(database: Database) -> None:
        await HashKinds(database, hasher).find()

    use(dsn, work)
    hasher.close()
    return retained


def test_kinds_that_are_no_longer_in_use_are_discarded(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kinds_retained(dsn, monkeypatch) == [set()]
    hashes = [MAKERS[name]("correct horse") for name in KINDS]
    import_users(dsn, hashes)
    assert kinds_retained(dsn, monkeypatch) == [{read(stored).kind for stored in hashes}]


def test_no_kind_is_discarded_where_the_sample_is_not_complete(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = [MAKERS[name]("correct horse") for name in KINDS]
    import_users(dsn, hashes)
    monkeypatch.setattr("services.hash_kinds._SAMPLE_SIZE", len(hashes))
    assert kinds_retained(dsn, monkeypatch) == []


def test_no_kind_is_discarded_where_the_table_is_only_sampled(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_users(dsn, [MAKERS["argon2id"]("correct horse")])
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash)"
        " SELECT n || repeat('x', 240), n, '$userauth-' || repeat('x', 200)"
        " FROM generate_series(2, 12000) AS n",
    )
    assert kinds_retained(dsn, monkeypatch) == []

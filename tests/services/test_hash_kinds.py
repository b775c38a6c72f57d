"""The kinds of hashes that users brought along are measured when the server starts."""

from collections.abc import Iterable, Sequence

import pytest

from db.pool import Database
from rules.imported_hashes import read
from rules.passwords import PasswordHasher
from services.hash_kinds import HashKinds
from tests.db.test_pool import use
from tests.harness.sql import run_sql
from tests.rules.test_imported_hashes import MAKERS

KINDS = ["bcrypt 2b", "argon2id", "kratos scrypt"]


def import_users(dsn: str, hashes: Sequence[str]) -> None:
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash)"
        " SELECT n, n, stored FROM unnest(%s) WITH ORDINALITY AS each (stored, n)",
        (list(hashes),),
    )


def test_each_kind_is_hashed_once(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [MAKERS[name]("correct horse") for name in KINDS for _ in range(3)]
    import_users(dsn, [*hashes, "$userauth-bcrypt-sha384$2b$04$", "no hash at all"])
    measured: list[str] = []
    measure = PasswordHasher.measure

    async def recorded(self: PasswordHasher, stored: str) -> None:
        measured.append(read(stored).kind)
        await measure(self, stored)

    monkeypatch.setattr(PasswordHasher, "measure", recorded)
    hasher = PasswordHasher(read_foreign=read, cost=4, workers=1, max_wait_seconds=5)

    async def work(database: Database) -> None:
        assert await HashKinds(database, hasher).measure() > 0

    use(dsn, work)
    hasher.close()
    assert sorted(measured) == sorted({read(stored).kind for stored in hashes})


def kept_after_a_look(dsn: str, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Look which kinds are in use; return which are kept, none where nothing is forgotten."""
    kept: list[set[str]] = []

    def record(_hasher: PasswordHasher, kinds: Iterable[str]) -> None:
        kept.append(set(kinds))

    monkeypatch.setattr(PasswordHasher, "forget_kinds_but", record)
    hasher = PasswordHasher(read_foreign=read, cost=4, workers=1, max_wait_seconds=5)

    async def work(database: Database) -> None:
        await HashKinds(database, hasher).find()

    use(dsn, work)
    hasher.close()
    return kept


def test_kinds_that_nobody_has_any_more_are_forgotten(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept_after_a_look(dsn, monkeypatch) == [set()]
    hashes = [MAKERS[name]("correct horse") for name in KINDS]
    import_users(dsn, hashes)
    assert kept_after_a_look(dsn, monkeypatch) == [{read(stored).kind for stored in hashes}]


def test_of_more_users_than_are_looked_at_no_kind_is_forgotten(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = [MAKERS[name]("correct horse") for name in KINDS]
    import_users(dsn, hashes)
    monkeypatch.setattr("services.hash_kinds._SAMPLE", len(hashes))
    assert kept_after_a_look(dsn, monkeypatch) == []


def test_of_a_table_that_is_not_read_whole_no_kind_is_forgotten(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_users(dsn, [MAKERS["argon2id"]("correct horse")])
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash)"
        " SELECT n || repeat('x', 240), n, '$userauth-' || repeat('x', 200)"
        " FROM generate_series(2, 12000) AS n",
    )
    assert kept_after_a_look(dsn, monkeypatch) == []

"""The kinds of hashes that users brought along are measured when the server starts."""

import pytest

from auth.foreign_hashes import read
from auth.hash_kinds import HashKinds
from auth.passwords import PasswordHasher
from db.pool import Database
from tests.auth.test_foreign_hashes import MAKERS
from tests.db.test_pool import use
from tests.sql import run_sql

KINDS = ["bcrypt 2b", "argon2id", "kratos scrypt"]


def test_each_kind_is_hashed_once(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [MAKERS[name]("correct horse") for name in KINDS for _ in range(3)]
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash)"
        " SELECT n, n, stored FROM unnest(%s) WITH ORDINALITY AS each (stored, n)",
        ([*hashes, "$userauth-bcrypt-sha384$2b$04$", "no hash at all"],),
    )
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

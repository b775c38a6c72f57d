"""Writes of a user: whatever changed since the credentials were verified shuts them out."""

import uuid

import pytest

from db.pool import Database
from db.rows import PasswordRow, UserRow
from rules.budget import Budget
from rules.errors import CredentialsInvalid, TokenInvalid, TooManyWrites, Unauthorized
from rules.write_turns import WriteTurns
from services.identities import Identity, PasswordProof, TokenProof
from services.user_writes import UserWrites
from tests.harness.clock import Clock
from tests.harness.databases import use
from tests.harness.sql import run_sql

TOKEN = str(uuid.UUID(int=1))


@pytest.fixture
def user(dsn: str) -> UserRow:
    """Insert a user with a token."""
    [row] = run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash) VALUES ('a', 'a', 'x')"
        " RETURNING id, email, name, created_at, updated_at, false",
    )
    run_sql(
        dsn,
        "INSERT INTO tokens (id, user_id, created_at, expires_at)"
        " SELECT %s, id, now(), now() + interval '1 day' FROM users",
        (TOKEN,),
    )
    return UserRow(*row)


def identity(user: UserRow, *, by_token: bool) -> Identity:
    if by_token:
        return Identity(user, TokenProof(TOKEN))
    stored = PasswordRow(user, "x", password_version=1, is_disabled=False)
    return Identity(user, PasswordProof("password", stored))


def writes(database: Database, per_minute: int = 60) -> UserWrites:
    clock = Clock()
    turns = WriteTurns(Budget(per_minute, clock), Budget(2 * per_minute, clock), 5)
    return UserWrites(database, turns)


def rejection(dsn: str, caller: Identity) -> type[Unauthorized] | None:
    """Return how a write of an identity is rejected, or None if it begins."""
    found: list[type[Unauthorized] | None] = []

    async def work(database: Database) -> None:
        try:
            async with writes(database).begin(caller) as (_, user):
                assert user.id == caller.user.id
        except Unauthorized as error:
            found.append(type(error))
        else:
            found.append(None)

    use(dsn, work)
    return found[0]


@pytest.mark.parametrize(
    ("change", "by_token", "by_password"),
    [
        ("UPDATE users SET name = 'unrelated'", None, None),
        ("UPDATE users SET disabled_at = now()", TokenInvalid, CredentialsInvalid),
        ("DELETE FROM tokens; DELETE FROM users", TokenInvalid, CredentialsInvalid),
        ("UPDATE users SET password_version = 2", None, CredentialsInvalid),
        ("UPDATE tokens SET revoked_at = now()", TokenInvalid, None),
    ],
)
def test_a_write_is_rejected_if_its_proof_no_longer_holds(
    dsn: str,
    user: UserRow,
    change: str,
    by_token: type[Unauthorized] | None,
    by_password: type[Unauthorized] | None,
) -> None:
    run_sql(dsn, change)
    assert rejection(dsn, identity(user, by_token=True)) is by_token
    assert rejection(dsn, identity(user, by_token=False)) is by_password


def test_a_write_holds_the_lock_on_the_user_until_its_end(dsn: str, user: UserRow) -> None:
    unlocked = "SELECT count(*) FROM (SELECT 1 FROM users FOR UPDATE SKIP LOCKED) AS free"

    async def work(database: Database) -> None:
        async with writes(database).begin(identity(user, by_token=True)):
            assert run_sql(dsn, unlocked) == [(0,)]
        assert run_sql(dsn, unlocked) == [(1,)]

    use(dsn, work)


def test_changes_count_for_the_user_and_revocations_for_the_credential_alone(
    dsn: str, user: UserRow
) -> None:
    async def work(database: Database) -> None:
        limited = writes(database, per_minute=1)
        limited.spend_change(identity(user, by_token=True))
        with pytest.raises(TooManyWrites):
            limited.spend(identity(user, by_token=True))
        limited.spend_change(identity(user, by_token=False))
        other = Identity(user, TokenProof("another token"))
        with pytest.raises(TooManyWrites):
            limited.spend_change(other)
        limited.spend(Identity(user, TokenProof("a third token")))

    use(dsn, work)

"""What remains in the messages table."""

from datetime import UTC, datetime, timedelta

import pytest

from db import messages, user_messages
from db.pool import Database
from tests.harness.databases import use
from tests.harness.mail_queue import insert_messages
from tests.harness.pool_limits import LIMITS
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"


NOW = datetime(2026, 11, 1, tzinfo=UTC)
DELETED = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def user_id(dsn: str) -> str:
    """Insert a user; return the id."""
    inserted = "INSERT INTO users (email, email_key, password_hash) VALUES (%s, %s, 'x')"
    return str(run_sql(dsn, f"{inserted} RETURNING id", (EMAIL, EMAIL))[0][0])


@pytest.mark.parametrize("is_sent", [True, False])
@pytest.mark.parametrize(
    ("kind", "owner", "left"),
    [
        ("password-changed", "existing", {True: EMAIL, False: EMAIL}),
        # Stored while the user was deleted.
        ("password-changed", "deleted", {True: None, False: None}),
        # Until it expires it may be sent again.
        ("user-deleted", "none", {True: None, False: EMAIL}),
    ],
)
@pytest.mark.gen_test
async def test_a_message_keeps_the_address_of_a_user_only_while_that_is_needed(
    dsn: str, user_id: str, *, kind: str, owner: str, left: dict[bool, str | None], is_sent: bool
) -> None:
    owners = {"existing": user_id, "deleted": DELETED, "none": None}
    insert_messages(dsn, NOW.timestamp(), EMAIL, kind=kind, user_id=owners[owner])
    database = await Database.open(dsn, LIMITS)
    try:
        async with database.connection() as connection:
            until = NOW + timedelta(seconds=60)
            claimed = await messages.claim_next(connection, now=NOW, lease_until=until)
            assert claimed is not None
            if is_sent:
                await messages.mark_sent(connection, claimed, at=NOW)
            else:
                await messages.give_up(connection, claimed, at=NOW, failure="a reason")
    finally:
        await database.close()
    assert run_sql(dsn, "SELECT recipient FROM messages") == [(left[is_sent],)]


@pytest.mark.gen_test
async def test_an_expired_message_about_a_deletion_loses_the_address(dsn: str) -> None:
    insert_messages(dsn, NOW.timestamp() - 61, EMAIL, kind="user-deleted", lifetime=60)
    database = await Database.open(dsn, LIMITS)
    try:
        async with database.connection() as connection:
            until = NOW + timedelta(seconds=60)
            claimed = await messages.claim_next(connection, now=NOW, lease_until=until)
            assert claimed is not None
            await messages.give_up(connection, claimed, at=NOW, failure="expired")
    finally:
        await database.close()
    assert run_sql(dsn, "SELECT recipient FROM messages") == [(None,)]


@pytest.mark.gen_test
async def test_a_message_that_is_sent_while_its_user_is_deleted_is_recorded_as_sent(
    dsn: str, user_id: str
) -> None:
    """It counts toward the limit of its recipient."""
    insert_messages(dsn, NOW.timestamp(), EMAIL, user_id=user_id)
    insert_messages(dsn, NOW.timestamp(), EMAIL, user_id=user_id)
    database = await Database.open(dsn, LIMITS)
    try:
        async with database.connection() as connection:
            until = NOW + timedelta(seconds=60)
            claimed = await messages.claim_next(connection, now=NOW, lease_until=until)
            assert claimed is not None
            await user_messages.anonymize_messages(connection, user_id, at=NOW)
            due = "SELECT due_at, recipient FROM messages ORDER BY due_at"
            assert run_sql(dsn, due) == [(until, None), (None, None)]
            await messages.mark_sent(connection, claimed, at=NOW)
            assert await messages.claim_next(connection, now=until, lease_until=until) is None
    finally:
        await database.close()
    rows = "SELECT sent_at, due_at, recipient FROM messages ORDER BY sent_at"
    assert run_sql(dsn, rows) == [(NOW, None, None), (None, None, None)]


@pytest.mark.parametrize(
    ("change", "is_reserved"),
    [
        ("attempts = 1", True),
        ("kind = 'email-change'", False),
        ("used_at = created_at", False),
        ("voided_at = created_at", False),
        ("expires_at = '2026-11-01Z'", False),
    ],
)
def test_an_address_is_reserved_only_while_an_undo_may_restore_it(
    dsn: str, user_id: str, change: str, *, is_reserved: bool
) -> None:
    insert_messages(dsn, NOW.timestamp(), "old@example.com", kind="email-undo", user_id=user_id)
    run_sql(dsn, f"UPDATE messages SET {change}")  # noqa: S608

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            restorable = await user_messages.find_restorable(connection, user_id, at=NOW)
            reserved = [
                await user_messages.reserves(connection, "digest", except_user_id=each, now=NOW)
                for each in (None, user_id)
            ]
        assert restorable == ["old@example.com"] * is_reserved
        assert reserved == [is_reserved, False]

    use(dsn, work)


def test_a_message_that_a_deleted_user_has_requested_no_longer_names_the_user(
    dsn: str, user_id: str
) -> None:
    """Without an owner: the address belongs to another user."""
    insert_messages(dsn, NOW.timestamp(), "taken@example.com")
    run_sql(dsn, "UPDATE messages SET requester_id = %s", (user_id,))

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await user_messages.anonymize_messages(connection, user_id, at=NOW)

    use(dsn, work)
    rows = "SELECT requester_id, recipient, voided_at FROM messages"
    assert run_sql(dsn, rows) == [(None, None, NOW)]


@pytest.mark.parametrize(
    ("change", "is_in_use"),
    [
        ("sent_at = created_at", True),
        ("key_id = NULL", False),
        ("user_id = NULL", False),
        ("used_at = created_at", False),
        ("voided_at = created_at", False),
        ("expires_at = '2026-11-01Z'", False),
    ],
)
def test_a_signing_key_is_in_use_only_while_one_of_its_messages_is_valid(
    dsn: str, user_id: str, change: str, *, is_in_use: bool
) -> None:
    insert_messages(dsn, NOW.timestamp(), EMAIL, key_id="key", user_id=user_id)
    run_sql(dsn, f"UPDATE messages SET {change}")  # noqa: S608

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            found = await user_messages.find_keys_in_use(connection, at=NOW)
        assert found == ({"key": NOW + timedelta(hours=1)} if is_in_use else {})

    use(dsn, work)

"""Messages as proofs: used once, and only while they are valid."""

from datetime import UTC, datetime, timedelta

import pytest

from db import proofs
from db.pool import Database
from tests.harness.databases import use
from tests.harness.sql import run_sql

NOW = datetime(2027, 1, 15, tzinfo=UTC)
_INSERT = """
INSERT INTO messages (
    id, nonce, kind, email_digest, language, created_at, expires_at, is_urgent, due_at
)
VALUES (gen_random_uuid(), gen_random_uuid(), 'password-reset', 'a', 'en', %s, %s, false, %s)
RETURNING id::text
"""


def spend(dsn: str, message_id: str) -> list[bool]:
    """Use a message twice."""
    found: list[bool] = []

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            found.extend([await proofs.spend(connection, message_id, at=NOW) for _ in range(2)])

    use(dsn, work)
    return found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("attempts = 1", [True, False]),
        ("used_at = created_at", [False, False]),
        ("voided_at = created_at", [False, False]),
        ("expires_at = '2027-01-15Z'", [False, False]),
    ],
)
def test_a_message_is_used_once_and_only_if_valid(
    dsn: str, change: str, expected: list[bool]
) -> None:
    values = (NOW, NOW + timedelta(hours=1), NOW)
    message_id = str(run_sql(dsn, _INSERT, values)[0][0])
    run_sql(dsn, f"UPDATE messages SET {change}")  # noqa: S608
    assert spend(dsn, message_id) == expected
    if expected[0]:
        assert run_sql(dsn, "SELECT used_at, due_at FROM messages") == [(NOW, None)]


_INSERT_OF_USER = """
INSERT INTO messages (
    id, nonce, kind, user_id, recipient, email_digest, language, key_id, created_at, expires_at,
    is_urgent, tries, email_tries, last_try_at
)
SELECT
    new.id, gen_random_uuid(), 'password-reset', users.id, email, 'a', 'en', 'key', %s, %s, false,
    new.tries, new.tries, %s
FROM users, unnest(%s::uuid[], %s::integer[]) AS new (id, tries)
"""


def test_a_right_code_takes_back_the_try_of_its_own_message(dsn: str) -> None:
    """That of another message may be of an earlier day, and count no more."""
    earlier, own = (f"00000000-0000-4000-8000-00000000000{number}" for number in range(2))
    run_sql(dsn, "INSERT INTO users (email, email_key, password_hash) VALUES ('a@b', 'a@b', '')")
    times = (NOW - timedelta(days=2), NOW + timedelta(hours=1), NOW - timedelta(days=2))
    run_sql(dsn, _INSERT_OF_USER, (*times, [earlier, own], [3, 0]))

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            found = await proofs.count_try(
                connection, message_id=own, user_id=None, kinds=["password-reset"], now=NOW
            )
            assert [row.id for row in found] == [own]
            await proofs.return_try(connection, [own])

    use(dsn, work)
    tries = "SELECT id::text, tries, email_tries FROM messages ORDER BY id"
    assert run_sql(dsn, tries) == [(earlier, 3, 3), (own, 0, 0)]

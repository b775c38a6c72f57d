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

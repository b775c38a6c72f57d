"""Messages in the database, as the outbox stores them, and what the sender makes of them."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tests.harness.sql import run_sql

HOUR = 3600.0


def insert_messages(
    dsn: str,
    now: float,
    *recipients: str,
    kind: str = "password-changed",
    lifetime: float = HOUR,
    is_urgent: bool = False,
    key_id: str | None = None,
    user_id: str | None = None,
) -> list[str]:
    """Insert messages that are due at a time in UTC seconds; return their ids."""
    at = datetime.fromtimestamp(now, UTC)
    ids = [str(uuid.uuid4()) for _ in recipients]
    run_sql(
        dsn,
        "INSERT INTO messages (id, nonce, kind, user_id, recipient, email_digest, language, key_id,"
        " created_at, expires_at, due_at, is_urgent)"
        # One after the other, so that their order is certain.
        " SELECT id, gen_random_uuid(), %s, %s, recipient, 'digest', 'en', %s, %s, %s,"
        " %s::timestamptz - make_interval(secs => 1) + n * interval '1 microsecond', %s"
        " FROM unnest(%s::uuid[], %s::text[]) WITH ORDINALITY AS new (id, recipient, n)",
        (
            *(kind, user_id, key_id, at, at + timedelta(seconds=lifetime)),
            *(at, is_urgent, ids, list(recipients)),
        ),
    )
    return ids


def _states(dsn: str) -> list[tuple[str, str, int, str | None]]:
    return run_sql(
        dsn,
        "SELECT recipient, CASE WHEN sent_at IS NOT NULL THEN 'sent'"
        " WHEN failed_at IS NOT NULL THEN 'dead' WHEN due_at IS NOT NULL THEN 'due'"
        " ELSE 'void' END, attempts, failure FROM messages",
    )


def states(dsn: str) -> dict[str, tuple[str, int, str | None]]:
    """Return the state, the attempts and the failure of each message, by its recipient."""
    return {recipient: (state, tries, why) for recipient, state, tries, why in _states(dsn)}


def count_in(dsn: str, state: str) -> int:
    """Return how many messages are in a state: several may have the same recipient."""
    return sum(found == state for _, found, _, _ in _states(dsn))


def numbered(count: int) -> Sequence[str]:
    """Return a number of different addresses."""
    return [f"user-{number}@example.com" for number in range(count)]

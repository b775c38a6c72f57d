"""The messages table: proofs, the secrets of messages, which are compared and used once."""

from collections.abc import Sequence
from datetime import datetime

from db.message_rows import ProofRow
from db.pool import Connection
from db.rows import Row, UserRow

MAX_TRIES = 5
MAX_TRIES_PER_DAY = 20
# A message is valid while it is neither expired nor void, its user is not disabled, and neither the
# password nor the email address that it is about has changed.
_VALID = """
    m.kind = ANY (%(kinds)s::text[])
    AND m.expires_at > %(now)s
    AND m.voided_at IS NULL
    AND u.disabled_at IS NULL
    AND (m.password_version IS NULL OR m.password_version = u.password_version)
    AND (m.kind IN ('email-change', 'email-undo') OR m.recipient = u.email)
"""
_COLUMNS = """
    m.id, m.nonce, m.kind, m.key_id, m.recipient, m.used_at IS NOT NULL, u.password_version,
    u.id, u.email, u.name, u.created_at, u.updated_at, u.email_verified_at IS NOT NULL
"""
_FIND = f"""
SELECT {_COLUMNS}
FROM messages m
JOIN users u ON u.id = m.user_id
WHERE m.id = %(id)s AND {_VALID}
"""


async def find_proof(
    connection: Connection, message_id: str, kinds: Sequence[str], *, now: datetime
) -> ProofRow | None:
    """Return a valid message of some kinds, or None."""
    row = await connection.fetch_one(_FIND, {"id": message_id, "kinds": list(kinds), "now": now})
    return None if row is None else _proof(row)


# Locks all messages to the email address: concurrent requests, in any process, are counted one
# after another. Messages without a user are included, so that an unknown address has the same
# limits.
#
# If the caller is identified, a code is compared with several messages. That is one try for each
# message, but one for the address, which is counted in one row.
_COUNT_TRY = f"""
WITH asked AS MATERIALIZED (
    SELECT DISTINCT email_digest
    FROM messages
    WHERE
        (id = %(id)s::uuid OR user_id = %(user_id)s::uuid)
        AND kind = ANY (%(kinds)s::text[])
        AND expires_at > %(now)s
), held AS MATERIALIZED (
    SELECT
        m.id, m.email_digest, m.user_id, m.kind, m.expires_at, m.voided_at, m.tries,
        m.email_tries, m.last_try_at
    FROM messages m
    WHERE m.email_digest IN (SELECT email_digest FROM asked)
    ORDER BY m.id
    FOR UPDATE
), day AS MATERIALIZED (
    SELECT
        email_digest,
        sum(email_tries) FILTER (WHERE last_try_at > %(now)s::timestamptz - interval '1 day')
            AS tries
    FROM held
    GROUP BY email_digest
), compared AS MATERIALIZED (
    SELECT
        held.id,
        row_number() OVER (PARTITION BY held.email_digest ORDER BY held.id) = 1 AS is_first
    FROM held
    JOIN day USING (email_digest)
    WHERE
        (held.id = %(id)s::uuid OR held.user_id = %(user_id)s::uuid)
        AND held.kind = ANY (%(kinds)s::text[])
        AND held.expires_at > %(now)s
        AND held.voided_at IS NULL
        AND held.tries < {MAX_TRIES}
        AND coalesce(day.tries, 0) < {MAX_TRIES_PER_DAY}
), counted AS (
    UPDATE messages m
    SET
        tries = m.tries + 1,
        email_tries = m.email_tries + compared.is_first::integer,
        last_try_at = %(now)s
    FROM compared
    WHERE m.id = compared.id
    RETURNING
        m.id, m.nonce, m.kind, m.key_id, m.user_id, m.recipient, m.used_at, m.password_version,
        m.expires_at, m.voided_at
)
SELECT {_COLUMNS}
FROM counted m
JOIN users u ON u.id = m.user_id
WHERE {_VALID}
"""


async def count_try(
    connection: Connection,
    *,
    message_id: str | None,
    user_id: str | None,
    kinds: Sequence[str],
    now: datetime,
) -> list[ProofRow]:
    """Count a try of a code, and return the valid messages that it may be the code of.

    These are one message, or all messages to a user, except those whose tries are exhausted.
    """
    parameters = {"id": message_id, "user_id": user_id, "kinds": list(kinds), "now": now}
    return [_proof(row) for row in await connection.fetch_all(_COUNT_TRY, parameters)]


_RETURN_TRY = """
WITH held AS MATERIALIZED (
    SELECT id, email_digest, email_tries
    FROM messages
    WHERE email_digest IN (SELECT email_digest FROM messages WHERE id = ANY (%(ids)s::uuid[]))
    ORDER BY id
    FOR UPDATE
), counting AS MATERIALIZED (
    SELECT DISTINCT ON (email_digest) id
    FROM held
    WHERE email_tries > 0
    ORDER BY email_digest, id = ANY (%(ids)s::uuid[]) DESC
)
UPDATE messages m
SET
    tries = greatest(tries - (m.id = ANY (%(ids)s::uuid[]))::integer, 0),
    email_tries = m.email_tries - (m.id IN (SELECT id FROM counting))::integer
FROM held
WHERE m.id = held.id
    AND (m.id = ANY (%(ids)s::uuid[]) OR m.id IN (SELECT id FROM counting))
"""


async def return_try(connection: Connection, message_ids: Sequence[str]) -> None:
    """Undo the count of a try whose code was correct, for its messages and its email address."""
    await connection.execute(_RETURN_TRY, {"ids": list(message_ids)})


_SPEND = """
UPDATE messages
SET used_at = %(at)s, due_at = NULL
WHERE id = %(id)s AND used_at IS NULL AND voided_at IS NULL AND expires_at > %(at)s
"""


async def spend(connection: Connection, message_id: str, *, at: datetime) -> bool:
    """Use a message, in the transaction of the action.

    Return False if it is already used, void or expired.
    """
    return await connection.execute(_SPEND, {"id": message_id, "at": at}) == 1


def _proof(row: Row) -> ProofRow:
    message_id, nonce, kind, key_id, recipient, is_used, version, *user = row
    return ProofRow(message_id, nonce, kind, key_id, recipient, is_used, version, UserRow(*user))

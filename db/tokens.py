"""The tokens table."""

from collections.abc import Sequence
from datetime import datetime

from db.batch_loader import LookupQuery
from db.pool import Connection
from db.rows import OwnerRow, TokenRow, Use, UserRow

# Owners by token id, for BatchLoader: of tokens that are not revoked, unless they are disabled.
FIND_USERS = LookupQuery(
    name="find_users_of_tokens",
    sql="""
SELECT
    t.id, u.id, u.email, u.name, u.created_at, u.updated_at, u.email_verified_at IS NOT NULL
FROM tokens t
JOIN users u ON u.id = t.user_id
WHERE t.id = ANY($1) AND t.revoked_at IS NULL AND u.disabled_at IS NULL
""",
    key_type="uuid",
    make=lambda row: UserRow(*row),
)

# The same with the time of issue, which introspection returns: every request with a token waits for
# FIND_USERS, which one more column would slow down.
FIND_OWNERS = LookupQuery(
    name="find_owners_of_tokens",
    sql="""
SELECT
    t.id, u.id, u.email, u.name, u.created_at, u.updated_at, u.email_verified_at IS NOT NULL,
    floor(date_part('epoch', t.created_at))::bigint
FROM tokens t
JOIN users u ON u.id = t.user_id
WHERE t.id = ANY($1) AND t.revoked_at IS NULL AND u.disabled_at IS NULL
""",
    key_type="uuid",
    make=lambda row: OwnerRow(UserRow(*row[:6]), row[6]),
)

# The lock on the user's row makes a login wait for a concurrent change of the password, or
# deletion, and then see its outcome. It also serializes the logins of a user, so that each counts
# the tokens of the previous one.
_INSERT = """
INSERT INTO tokens (id, user_id, created_at, expires_at, key_id, user_agent, ip)
SELECT %s, id, %s, %s, %s, %s, %s
FROM users
WHERE id = %s AND password_version = %s AND disabled_at IS NULL
FOR NO KEY UPDATE
"""


async def insert_token(
    connection: Connection,
    token_id: str,
    *,
    user_id: str,
    password_version: int,
    created_at: datetime,
    expires_at: datetime,
    key_id: str,
    user_agent: str | None,
    ip: str | None,
) -> bool:
    """Insert a token; return False if the user is deleted, disabled, or has a new password."""
    token = (token_id, created_at, expires_at, key_id, user_agent, ip)
    return await connection.execute(_INSERT, (*token, user_id, password_version)) == 1


_IS_UNREVOKED = """
SELECT 1
FROM tokens
WHERE id = %s AND user_id = %s AND revoked_at IS NULL
"""


async def is_unrevoked(connection: Connection, token_id: str, user_id: str) -> bool:
    """Return whether a token belongs to a user, and is not revoked."""
    return await connection.fetch_one(_IS_UNREVOKED, (token_id, user_id)) is not None


_FIND_VALID = """
SELECT id, created_at, expires_at, last_used_at, user_agent, host(ip)
FROM tokens
WHERE user_id = %s AND revoked_at IS NULL AND expires_at > %s
ORDER BY created_at DESC, id
"""


async def find_valid(connection: Connection, user_id: str, *, at: datetime) -> list[TokenRow]:
    """Return the tokens of a user that are valid at a time, newest first."""
    rows = await connection.fetch_all(_FIND_VALID, (user_id, at))
    return [TokenRow(*row) for row in rows]


_REVOKE = """
UPDATE tokens
SET revoked_at = %s
WHERE id = %s AND revoked_at IS NULL
RETURNING user_id
"""


async def revoke(connection: Connection, token_id: str, *, at: datetime) -> str | None:
    """Revoke a token; return the id of its owner, or None if it was revoked already."""
    row = await connection.fetch_one(_REVOKE, (at, token_id))
    return None if row is None else row[0]


_REVOKE_VALID = """
UPDATE tokens
SET revoked_at = %s
WHERE id = %s AND user_id = %s AND revoked_at IS NULL AND expires_at > %s
"""


async def revoke_valid(
    connection: Connection, token_id: str, *, user_id: str, at: datetime
) -> bool:
    """Revoke a token of a user; return whether it was valid."""
    return await connection.execute(_REVOKE_VALID, (at, token_id, user_id, at)) == 1


_REVOKE_ALL = """
WITH revoked AS (
    UPDATE tokens
    SET revoked_at = %s
    WHERE user_id = %s AND revoked_at IS NULL AND id IS DISTINCT FROM %s
    RETURNING expires_at
)
SELECT count(*) FROM revoked WHERE expires_at > %s
"""


async def revoke_all(
    connection: Connection, user_id: str, *, at: datetime, keep: str | None = None
) -> int:
    """Revoke every token of a user except ``keep``; return how many were valid."""
    row = await connection.fetch_one(_REVOKE_ALL, (at, user_id, keep, at))
    return 0 if row is None else int(row[0])


_REVOKE_SURPLUS = """
UPDATE tokens
SET revoked_at = %s
WHERE id IN (
    SELECT id
    FROM tokens
    WHERE user_id = %s AND revoked_at IS NULL AND expires_at > %s
    ORDER BY id = %s DESC, created_at DESC, id
    OFFSET %s
)
"""


async def revoke_surplus(
    connection: Connection, user_id: str, *, newest: str, limit: int, at: datetime
) -> int:
    """Revoke the oldest valid tokens of a user beyond ``limit``, but never the newest.

    Return how many were revoked.
    """
    return await connection.execute(_REVOKE_SURPLUS, (at, user_id, at, newest, limit))


# Counts the tokens before the update, since both parts see the same snapshot.
_ANONYMIZE = """
WITH anonymized AS (
    UPDATE tokens
    SET
        revoked_at = coalesce(revoked_at, %s), user_id = NULL,
        user_agent = NULL, ip = NULL, last_used_at = NULL
    WHERE user_id = %s
)
SELECT count(*) FROM tokens WHERE user_id = %s AND revoked_at IS NULL AND expires_at > %s
"""


async def revoke_and_anonymize(connection: Connection, user_id: str, *, at: datetime) -> int:
    """Revoke every token of a user, and delete its owner and the personal data in it.

    Return how many were valid.
    """
    row = await connection.fetch_one(_ANONYMIZE, (at, user_id, user_id, at))
    return 0 if row is None else int(row[0])


# Skips locked rows, which are probably being revoked.
_WRITE_USES = """
WITH used AS (
    SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::inet[]) AS used (id, at, ip)
), free AS (
    SELECT id
    FROM tokens
    WHERE id = ANY (%s::uuid[]) AND revoked_at IS NULL
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE tokens t
SET last_used_at = used.at, ip = coalesce(used.ip, t.ip)
FROM used
JOIN free ON free.id = used.id
WHERE t.id = used.id AND (
    t.last_used_at IS NULL OR t.last_used_at < used.at
    OR t.last_used_at = used.at AND t.ip IS DISTINCT FROM coalesce(used.ip, t.ip)
)
"""


async def write_uses(connection: Connection, uses: Sequence[Use]) -> None:
    """Write the last uses of tokens."""
    ids = [use.token_id for use in uses]
    times = [use.at for use in uses]
    addresses = [use.ip for use in uses]
    await connection.execute(_WRITE_USES, (ids, times, addresses, ids))


_FIND_KEYS_IN_USE = """
SELECT key_id, max(expires_at)
FROM tokens
WHERE user_id IS NOT NULL AND revoked_at IS NULL AND expires_at > %s
GROUP BY key_id
"""


async def find_keys_in_use(connection: Connection, *, at: datetime) -> dict[str | None, datetime]:
    """Return when the last valid token of each key expires, by key id; None is an unknown key."""
    return dict(await connection.fetch_all(_FIND_KEYS_IN_USE, (at,)))

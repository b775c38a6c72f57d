"""The users table, many rows at a time: imports and exports."""

from collections.abc import Sequence

from db.pool import Connection
from db.rows import ImportedUser

_FIND_TAKEN = "SELECT email_key FROM users WHERE email_key = ANY (%s::text[])"


async def find_taken(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Return which of these email keys belong to users."""
    return {row[0] for row in await connection.fetch_all(_FIND_TAKEN, (list(keys),))}


# A conflict returns no row: a failing INSERT would write hashes to the log of Postgres.
_INSERT = """
INSERT INTO users (
    email, email_key, name, password_hash, created_at, disabled_at, email_verified_at, language
)
SELECT
    email, email_key, name, password_hash, created_at, disabled_at, email_verified_at, language
FROM unnest(
    %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[],
    %s::timestamptz[], %s::text[]
) AS imported (
    email, email_key, name, password_hash, created_at, disabled_at, email_verified_at, language
)
ORDER BY email_key
ON CONFLICT (email_key) DO NOTHING
RETURNING id, email_key
"""


async def insert_users(
    connection: Connection, users: Sequence[ImportedUser]
) -> list[tuple[str, str]]:
    """Insert users whose email address is free; return their ids and email keys."""
    rows = await connection.fetch_all(
        _INSERT,
        (
            [user.email for user in users],
            [user.email_key for user in users],
            [user.name for user in users],
            [user.password_hash for user in users],
            [user.created_at for user in users],
            [user.disabled_at for user in users],
            [user.email_verified_at for user in users],
            [user.language for user in users],
        ),
    )
    return [(row[0], row[1]) for row in rows]


_FIND_PAGE = """
SELECT
    email, email_key, name, password_hash, created_at, disabled_at, email_verified_at, language
FROM users
WHERE email_key > %s
ORDER BY email_key
LIMIT %s
"""


async def find_users(connection: Connection, *, after: str, limit: int) -> list[ImportedUser]:
    """Return users after an email key, in the order of the keys."""
    return [ImportedUser(*row) for row in await connection.fetch_all(_FIND_PAGE, (after, limit))]

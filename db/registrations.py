"""The users table: new users, and whether an email address is free."""

from datetime import datetime

from db.pool import Connection
from db.rows import UserRow

_SELECT = """
SELECT id, email, name, created_at, updated_at, email_verified_at IS NOT NULL
FROM users
"""
# A conflict returns no row: a failing INSERT would write the hash to the log of Postgres.
_INSERT = """
INSERT INTO users (email, email_key, name, password_hash, language, verify_until)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (email_key) DO NOTHING
RETURNING id, email, name, created_at, updated_at, email_verified_at IS NOT NULL
"""


async def insert_user(
    connection: Connection,
    *,
    email: str,
    email_key: str,
    name: str | None,
    password_hash: str,
    language: str | None = None,
    verify_until: datetime | None = None,
) -> UserRow | None:
    """Insert a user; return the row, or None if the email address is taken."""
    values = (email, email_key, name, password_hash, language, verify_until)
    row = await connection.fetch_one(_INSERT, values)
    return None if row is None else UserRow(*row)


_FIND_OWNER = f"{_SELECT} WHERE email_key = %s"


async def find_owner(connection: Connection, email_key: str) -> UserRow | None:
    """Return the user of an email address, or None."""
    row = await connection.fetch_one(_FIND_OWNER, (email_key,))
    return None if row is None else UserRow(*row)


_FIND_VOID = f"""
{_SELECT}
WHERE email_key = %s AND email_verified_at IS NULL AND verify_until <= %s
FOR UPDATE
"""


async def find_void_for_update(
    connection: Connection, email_key: str, *, at: datetime
) -> UserRow | None:
    """Return and lock the user of an email address who has not verified it in time, or None."""
    row = await connection.fetch_one(_FIND_VOID, (email_key, at))
    return None if row is None else UserRow(*row)


_FIND_NEXT_VOID = f"""
{_SELECT}
WHERE email_verified_at IS NULL AND verify_until <= %s
ORDER BY verify_until
LIMIT 1
FOR UPDATE SKIP LOCKED
"""


async def find_next_void_for_update(connection: Connection, *, at: datetime) -> UserRow | None:
    """Return and lock a user who has not verified the email address in time, or None."""
    row = await connection.fetch_one(_FIND_NEXT_VOID, (at,))
    return None if row is None else UserRow(*row)


_KEEP_VOID = """
WITH held AS MATERIALIZED (
    SELECT id
    FROM users
    WHERE email_verified_at IS NULL AND verify_until <= %s
    FOR UPDATE SKIP LOCKED
)
UPDATE users u
SET verify_until = NULL
FROM held
WHERE u.id = held.id
"""


async def keep_void(connection: Connection, *, at: datetime) -> None:
    """Remove the time limit of users who have not verified their email address in time."""
    await connection.execute(_KEEP_VOID, (at,))


async def set_savepoint(connection: Connection) -> None:
    """Begin a part of a transaction that can be rolled back alone."""
    await connection.execute("SAVEPOINT registration")


async def release_savepoint(connection: Connection) -> None:
    """Keep what was done since the savepoint."""
    await connection.execute("RELEASE SAVEPOINT registration")


async def roll_back_to_savepoint(connection: Connection) -> None:
    """Undo what was done since the savepoint."""
    await connection.execute("ROLLBACK TO SAVEPOINT registration")

"""The users table: verified and changed email addresses."""

from datetime import datetime

from db.pool import Connection
from db.rows import UserRow, changed_user

_VERIFY = """
WITH clock AS MATERIALIZED (SELECT statement_timestamp() AS now)
UPDATE users
SET
    email_verified_at = coalesce(email_verified_at, %(at)s),
    verify_until = NULL,
    updated_at = CASE WHEN email_verified_at IS NULL THEN clock.now ELSE updated_at END
FROM clock
WHERE id = %(id)s
RETURNING id, email, name, created_at, updated_at, email_verified_at IS NOT NULL
"""


async def verify_email(connection: Connection, user_id: str, *, at: datetime) -> UserRow:
    """Mark the email address of a user whose row this transaction has locked as verified."""
    return changed_user(await connection.fetch_one(_VERIFY, {"id": user_id, "at": at}))


# An UPDATE has no ON CONFLICT: it would fail, and Postgres would log the statement. Inserting and
# deleting a row with the email address waits for other transactions that have or had the address,
# and makes others wait until this one commits.
_CLAIM = """
INSERT INTO users (email, email_key, password_hash)
VALUES (%(email)s, %(email_key)s, '')
ON CONFLICT (email_key) DO NOTHING
RETURNING id
"""
_UNCLAIM = "DELETE FROM users WHERE id = %s"
_UPDATE = """
UPDATE users
SET
    email = %(email)s,
    email_key = %(email_key)s,
    email_verified_at = %(at)s,
    verify_until = NULL,
    updated_at = statement_timestamp()
WHERE id = %(id)s AND NOT EXISTS (
    SELECT FROM users WHERE email_key = %(email_key)s AND id <> %(id)s
)
RETURNING id, email, name, created_at, updated_at, email_verified_at IS NOT NULL
"""


async def update_email(
    connection: Connection, user_id: str, *, email: str, email_key: str, at: datetime
) -> UserRow | None:
    """Set a verified email address of a locked user; return None if another user has it."""
    parameters = {"id": user_id, "email": email, "email_key": email_key, "at": at}
    claimed = await connection.fetch_one(_CLAIM, parameters)
    if claimed is not None:
        await connection.execute(_UNCLAIM, (claimed[0],))
    row = await connection.fetch_one(_UPDATE, parameters)
    return None if row is None else UserRow(*row)

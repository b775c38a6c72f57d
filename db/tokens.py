"""The tokens table."""

from datetime import datetime

from db.joined_lookup import LookupQuery
from db.pool import Connection
from db.rows import UserRow

# The users of tokens, for JoinedLookup: of those that are not revoked, and belong to somebody.
FIND_USERS = LookupQuery(
    name="find_users_of_tokens",
    sql="""
SELECT t.id, u.id, u.email, u.name, u.created_at, u.updated_at
FROM tokens t
JOIN users u ON u.id = t.user_id
WHERE t.id = ANY($1) AND t.revoked_at IS NULL
""",
    key_type="uuid",
    make=lambda row: UserRow(*row),
)

# The lock on the user's row makes a log-in wait for a change of the password, or a deletion,
# that is under way, and then see its outcome: it is in or out, never both.
_INSERT = """
INSERT INTO tokens (id, user_id, created_at, expires_at)
SELECT %s, id, %s, %s
FROM users
WHERE id = %s AND password_version = %s
FOR SHARE
"""


async def insert_token(
    connection: Connection,
    token_id: str,
    *,
    user_id: str,
    password_version: int,
    created_at: datetime,
    expires_at: datetime,
) -> bool:
    """Insert a token, unless the user is gone or has another password since."""
    parameters = (token_id, created_at, expires_at, user_id, password_version)
    return await connection.execute(_INSERT, parameters) == 1


_IS_LIVE = """
SELECT 1
FROM tokens
WHERE id = %s AND user_id = %s AND revoked_at IS NULL
"""


async def is_live(connection: Connection, token_id: str, user_id: str) -> bool:
    """Tell whether a token is that user's and not revoked."""
    return await connection.fetch_one(_IS_LIVE, (token_id, user_id)) is not None


_REVOKE_ALL = """
UPDATE tokens
SET revoked_at = %s
WHERE user_id = %s AND revoked_at IS NULL AND id IS DISTINCT FROM %s
"""


async def revoke_all(
    connection: Connection, user_id: str, *, at: datetime, keep: str | None = None
) -> int:
    """Revoke every live token of a user but the one to keep; return how many they were."""
    return await connection.execute(_REVOKE_ALL, (at, user_id, keep))

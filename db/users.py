"""The users table."""

from collections.abc import Sequence
from datetime import datetime

from db.batch_loader import LookupQuery
from db.pool import Connection
from db.rows import PasswordRow, UserRow, UserStateRow, changed_user

# Users with their password hashes by email key, for BatchLoader.
FIND_BY_EMAIL = LookupQuery(
    name="find_users_by_email",
    sql="""
SELECT
    email_key, id, email, name, created_at, updated_at, email_verified_at IS NOT NULL,
    password_hash, password_version, disabled_at IS NOT NULL
FROM users
WHERE email_key = ANY($1)
""",
    key_type="text",
    make=lambda row: PasswordRow(UserRow(*row[:6]), *row[6:]),
)

_FIND_FOR_UPDATE = """
SELECT
    id, email, name, created_at, updated_at, email_verified_at IS NOT NULL,
    password_hash, password_version, disabled_at IS NOT NULL
FROM users
WHERE id = %s
FOR UPDATE
"""


async def find_for_update(connection: Connection, user_id: str) -> PasswordRow | None:
    """Return a user, or None, and lock the row until the transaction ends."""
    row = await connection.fetch_one(_FIND_FOR_UPDATE, (user_id,))
    return None if row is None else PasswordRow(UserRow(*row[:6]), *row[6:])


# An earlier statement has locked the row: the time of this one is after all earlier changes.
# Distributed schemas reject clock_timestamp() here: see tests/db/test_portable_sql.py.
_UPDATE_NAME = """
UPDATE users
SET name = %s, updated_at = statement_timestamp()
WHERE id = %s
RETURNING id, email, name, created_at, updated_at, email_verified_at IS NOT NULL
"""


async def update_name(connection: Connection, user_id: str, name: str | None) -> UserRow:
    """Set the name of a user whose row this transaction has locked."""
    return changed_user(await connection.fetch_one(_UPDATE_NAME, (name, user_id)))


_UPDATE_PASSWORD = """
UPDATE users
SET password_hash = %s, password_version = password_version + 1, updated_at = statement_timestamp()
WHERE id = %s
RETURNING id, email, name, created_at, updated_at, email_verified_at IS NOT NULL
"""


async def update_password(connection: Connection, user_id: str, password_hash: str) -> UserRow:
    """Set a new password for a user whose row this transaction has locked."""
    row = await connection.fetch_one(_UPDATE_PASSWORD, (password_hash, user_id))
    return changed_user(row)


_RENEW_HASH = """
UPDATE users
SET password_hash = %s
WHERE id = %s AND password_hash = %s
"""


async def renew_hash(connection: Connection, user_id: str, *, old: str, new: str) -> None:
    """Replace the hash of an unchanged password, unless the stored one is no longer ``old``."""
    await connection.execute(_RENEW_HASH, (new, user_id, old))


_STATE = """
SELECT
    id, email, name, created_at, disabled_at, email_verified_at, verify_until, language
FROM users
"""
_FIND_STATE = f"{_STATE} WHERE email_key = %s"


async def find_state(connection: Connection, email_key: str) -> UserStateRow | None:
    """Return a user by email key, or None."""
    row = await connection.fetch_one(_FIND_STATE, (email_key,))
    return None if row is None else UserStateRow(*row)


_FIND_STATES = f"{_STATE} WHERE id = ANY (%s::uuid[])"


async def find_states(connection: Connection, user_ids: Sequence[str]) -> list[UserStateRow]:
    """Return the users with some ids."""
    rows = await connection.fetch_all(_FIND_STATES, (list(user_ids),))
    return [UserStateRow(*row) for row in rows]


_FIND_STATES_BY_EMAIL = f"{_STATE} WHERE email_key = ANY (%s::text[]) ORDER BY email_key LIMIT %s"


async def find_states_by_email(
    connection: Connection, email_keys: Sequence[str], *, limit: int
) -> list[UserStateRow]:
    """Return the users with some email keys."""
    rows = await connection.fetch_all(_FIND_STATES_BY_EMAIL, (list(email_keys), limit))
    return [UserStateRow(*row) for row in rows]


_FIND_STATES_BY_PREFIX = f"{_STATE} WHERE starts_with(email_key, %s) ORDER BY email_key LIMIT %s"


async def find_states_by_prefix(
    connection: Connection, prefix: str, *, limit: int
) -> list[UserStateRow]:
    """Return the users whose email key begins with a text; reads all rows."""
    rows = await connection.fetch_all(_FIND_STATES_BY_PREFIX, (prefix, limit))
    return [UserStateRow(*row) for row in rows]


_FIND_PAGE = f"""
{_STATE}
WHERE
    email_key > %(after)s
    AND (%(text)s = '' OR strpos(lower(concat_ws(' ', email, name, id)), lower(%(text)s)) > 0)
    AND (NOT %(only_disabled)s OR disabled_at IS NOT NULL)
ORDER BY email_key
LIMIT %(limit)s
"""


async def find_page(
    connection: Connection, *, after: str, text: str, only_disabled: bool, limit: int
) -> list[UserStateRow]:
    """Return users after an email key, in the order of the keys."""
    parameters = {"after": after, "text": text, "only_disabled": only_disabled, "limit": limit}
    return [UserStateRow(*row) for row in await connection.fetch_all(_FIND_PAGE, parameters)]


# Postgres reads about 4 MiB of a large table.
_SAMPLE_IMPORTED = """
WITH share AS MATERIALIZED (
    SELECT least(100, 100.0 * 4194304 / greatest(pg_relation_size('users'), 1)) AS percent
)
SELECT percent = 100, ARRAY(
    SELECT password_hash
    FROM users TABLESAMPLE SYSTEM ((SELECT percent FROM share))
    WHERE password_hash NOT LIKE '$userauth-%%'
    ORDER BY random()
    LIMIT %s
)
FROM share
"""


async def sample_imported_hashes(connection: Connection, *, limit: int) -> tuple[list[str], bool]:
    """Return imported hashes at random, and whether these are all of them."""
    [(read_whole, found)] = await connection.fetch_all(_SAMPLE_IMPORTED, (limit,))
    return found, read_whole and len(found) < limit


_DISABLE = "UPDATE users SET disabled_at = %s WHERE id = %s AND disabled_at IS NULL"


async def disable(connection: Connection, user_id: str, *, at: datetime) -> bool:
    """Disable a user; return False if the user was already disabled."""
    return await connection.execute(_DISABLE, (at, user_id)) > 0


_ENABLE = "UPDATE users SET disabled_at = NULL WHERE id = %s AND disabled_at IS NOT NULL"


async def enable(connection: Connection, user_id: str) -> bool:
    """Enable a user; return False if the user was not disabled."""
    return await connection.execute(_ENABLE, (user_id,)) > 0


_SET_LANGUAGE = """
UPDATE users SET language = %(language)s
WHERE id = %(id)s AND language IS DISTINCT FROM %(language)s
"""


async def set_language(connection: Connection, user_id: str, language: str | None) -> bool:
    """Set the language of messages, None for the default; return False if it was already set."""
    return await connection.execute(_SET_LANGUAGE, {"id": user_id, "language": language}) > 0


_DELETE = "DELETE FROM users WHERE id = %s"


async def delete_user(connection: Connection, user_id: str) -> None:
    """Delete a user; the rows of the tokens remain, without their owner."""
    await connection.execute(_DELETE, (user_id,))


_FIND_LANGUAGE = "SELECT language FROM users WHERE id = %s"


async def find_language(connection: Connection, user_id: str) -> str | None:
    """Return the language of messages to a user, or None for the default."""
    row = await connection.fetch_one(_FIND_LANGUAGE, (user_id,))
    return None if row is None else row[0]

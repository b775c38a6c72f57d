"""The tokens table.

Statements apply to tokens of every kind unless they name one; tests/db/test_token_kinds.py lists
them.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from db.pool import Connection
from db.rows import NewTokenRow, TokenRow, Use

# Whether a token is neither expired nor idle for too long. The difference of two times is
# immutable, unlike the sum of a time and an interval: see tests/db/test_portable_sql.py.
_IS_UNEXPIRED = """expires_at > %(at)s
    AND (max_idle IS NULL OR %(at)s - coalesce(last_used_at, created_at) < max_idle)"""

# The lock on the user's row makes a login wait for a concurrent change of the password, or
# deletion, and then see its outcome. It also serializes the logins of a user, so that each counts
# the tokens of the previous one.
_INSERT = """
INSERT INTO tokens (
    id, kind, user_id, created_at, expires_at, max_idle, key_id, user_agent, ip
)
SELECT %s, %s, id, %s, %s, %s, %s, %s, %s
FROM users
WHERE id = %s AND password_version = coalesce(%s, password_version) AND disabled_at IS NULL
FOR NO KEY UPDATE
"""


async def insert_token(
    connection: Connection, token: NewTokenRow, *, user_id: str, password_version: int | None
) -> bool:
    """Insert a token; return False if the user is deleted, disabled, or has a new password.

    ``password_version`` is None in the transaction that changes the password.
    """
    values = (
        token.id,
        token.kind,
        token.created_at,
        token.expires_at,
        token.max_idle,
        token.key_id,
        token.user_agent,
        token.ip,
    )
    return await connection.execute(_INSERT, (*values, user_id, password_version)) == 1


_IS_UNREVOKED = """
SELECT 1
FROM tokens
WHERE id = %s AND user_id = %s AND revoked_at IS NULL
"""


async def is_unrevoked(connection: Connection, token_id: str, user_id: str) -> bool:
    """Return whether a token belongs to a user, and is not revoked."""
    return await connection.fetch_one(_IS_UNREVOKED, (token_id, user_id)) is not None


_FIND_VALID = f"""
SELECT id, created_at, expires_at, last_used_at, user_agent, host(ip), kind
FROM tokens
WHERE user_id = %(user_id)s AND revoked_at IS NULL AND {_IS_UNEXPIRED}
ORDER BY created_at DESC, id
"""


async def find_valid(connection: Connection, user_id: str, *, at: datetime) -> list[TokenRow]:
    """Return the tokens of a user that are valid at a time, newest first."""
    rows = await connection.fetch_all(_FIND_VALID, {"user_id": user_id, "at": at})
    return [TokenRow(*row) for row in rows]


_REVOKE = """
UPDATE tokens
SET revoked_at = %s
WHERE id = %s AND kind = %s AND revoked_at IS NULL AND user_id = coalesce(%s, user_id)
RETURNING user_id
"""


async def revoke(
    connection: Connection, token_id: str, *, kind: str, at: datetime, user_id: str | None = None
) -> str | None:
    """Revoke a token of a kind, of any user or of one; return the id of its owner.

    None if no unrevoked token has this id and kind, or if it belongs to another user.
    """
    row = await connection.fetch_one(_REVOKE, (at, token_id, kind, user_id))
    return None if row is None else row[0]


_REVOKE_VALID = f"""
UPDATE tokens
SET revoked_at = %(at)s
WHERE id = %(id)s AND user_id = %(user_id)s AND revoked_at IS NULL AND {_IS_UNEXPIRED}
"""


async def revoke_valid(
    connection: Connection, token_id: str, *, user_id: str, at: datetime
) -> bool:
    """Revoke a token of a user; return whether it was valid."""
    values = {"at": at, "id": token_id, "user_id": user_id}
    return await connection.execute(_REVOKE_VALID, values) == 1


_REVOKE_ALL = f"""
WITH revoked AS (
    UPDATE tokens
    SET revoked_at = %(at)s
    WHERE user_id = %(user_id)s AND revoked_at IS NULL AND id IS DISTINCT FROM %(keep)s
    RETURNING {_IS_UNEXPIRED} AS was_valid
)
SELECT count(*) FROM revoked WHERE was_valid
"""


async def revoke_all(
    connection: Connection, user_id: str, *, at: datetime, keep: str | None = None
) -> int:
    """Revoke every token of a user except ``keep``; return how many were valid."""
    values = {"at": at, "user_id": user_id, "keep": keep}
    row = await connection.fetch_one(_REVOKE_ALL, values)
    return 0 if row is None else int(row[0])


_REVOKE_SURPLUS = f"""
UPDATE tokens
SET revoked_at = %(at)s
WHERE id IN (
    SELECT id
    FROM tokens
    WHERE user_id = %(user_id)s AND kind = %(kind)s AND revoked_at IS NULL AND {_IS_UNEXPIRED}
    ORDER BY id = %(newest)s DESC, created_at DESC, id
    OFFSET %(limit)s
)
"""


async def revoke_surplus(
    connection: Connection, user_id: str, newest: NewTokenRow, *, limit: int
) -> int:
    """Revoke the oldest valid tokens of a user, of the kind of ``newest``, beyond ``limit``.

    ``newest`` itself is never revoked. Return how many were revoked.
    """
    values = {
        "at": newest.created_at,
        "user_id": user_id,
        "kind": newest.kind,
        "newest": newest.id,
        "limit": limit,
    }
    return await connection.execute(_REVOKE_SURPLUS, values)


# Counts the tokens before the update, since both parts see the same snapshot.
_ANONYMIZE = f"""
WITH anonymized AS (
    UPDATE tokens
    SET
        revoked_at = coalesce(revoked_at, %(at)s), user_id = NULL,
        user_agent = NULL, ip = NULL, last_used_at = NULL
    WHERE user_id = %(user_id)s
)
SELECT count(*)
FROM tokens
WHERE user_id = %(user_id)s AND revoked_at IS NULL AND {_IS_UNEXPIRED}
"""


async def revoke_and_anonymize(connection: Connection, user_id: str, *, at: datetime) -> int:
    """Revoke every token of a user, and remove the reference to its owner and the personal data.

    Return how many were valid.
    """
    row = await connection.fetch_one(_ANONYMIZE, {"at": at, "user_id": user_id})
    return 0 if row is None else int(row[0])


# Skips locked rows, which are probably being revoked.
_WRITE_USES = """
WITH used AS (
    SELECT id, to_timestamp(seconds) AS at, ip
    FROM unnest(%(ids)s::uuid[], %(seconds)s::bigint[], %(ips)s::inet[]) AS used (id, seconds, ip)
), free AS (
    SELECT id
    FROM tokens
    WHERE id = ANY (%(ids)s::uuid[]) AND revoked_at IS NULL
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
    values = {
        "ids": _array(use.token_id for use in uses),
        "seconds": _array(str(use.at) for use in uses),
        "ips": _array(use.ip or "NULL" for use in uses),
    }
    await connection.execute(_WRITE_USES, values)


def _array(values: Iterable[str]) -> str:
    """Return values that need no quotes as the text of an array.

    psycopg2 would quote each one, and a thousand uses would block the event loop for 7 ms.
    """
    return f"{{{','.join(values)}}}"


_FIND_KEYS_IN_USE = f"""
SELECT key_id, max(expires_at)
FROM tokens
WHERE user_id IS NOT NULL AND revoked_at IS NULL AND {_IS_UNEXPIRED}
GROUP BY key_id
"""


async def find_keys_in_use(connection: Connection, *, at: datetime) -> dict[str | None, datetime]:
    """Return when the last valid token of each key expires, by key id; None is an unknown key."""
    return dict(await connection.fetch_all(_FIND_KEYS_IN_USE, {"at": at}))

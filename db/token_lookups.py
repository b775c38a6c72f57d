"""Owners of tokens by the id of the token, for BatchLoader."""

from db.batch_loader import LookupQuery
from db.rows import OwnerRow, SessionRow, UserRow

# Owners of tokens that are not revoked, except disabled users.
FIND_USERS = LookupQuery(
    name="find_users_of_tokens",
    sql="""
SELECT
    t.id, u.id, u.email, u.name, u.created_at, u.updated_at, u.email_verified_at IS NOT NULL
FROM tokens t
JOIN users u ON u.id = t.user_id
WHERE
    t.id = ANY($1) AND t.kind = 'token' AND t.revoked_at IS NULL
    AND u.disabled_at IS NULL
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
WHERE
    t.id = ANY($1) AND t.kind = 'token' AND t.revoked_at IS NULL
    AND u.disabled_at IS NULL
""",
    key_type="uuid",
    make=lambda row: OwnerRow(UserRow(*row[:6]), row[6]),
)

# The same for sessions, with the time when a session ends unless it is used. The kind is compared
# although each signature already includes it.
FIND_SESSIONS = LookupQuery(
    name="find_sessions",
    sql="""
SELECT
    t.id, u.id, u.email, u.name, u.created_at, u.updated_at, u.email_verified_at IS NOT NULL,
    coalesce(t.last_used_at, t.created_at) + t.max_idle
FROM tokens t
JOIN users u ON u.id = t.user_id
WHERE
    t.id = ANY($1) AND t.kind = 'session' AND t.revoked_at IS NULL
    AND u.disabled_at IS NULL
""",
    key_type="uuid",
    make=lambda row: SessionRow(UserRow(*row[:6]), *row[6:]),
)

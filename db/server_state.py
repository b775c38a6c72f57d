"""The state of Postgres and of our role, for administrators."""

from dataclasses import dataclass

from db.pool import Connection
from db.schema import TABLES


@dataclass(frozen=True, slots=True)
class ServerStateRow:
    """The state of Postgres, and the rights of our role.

    ``role`` is the one whose rights statements have: the one that connected, or another one that a
    default of that role has set. ``superuser`` is that one of the two which is a superuser.
    ``schema`` is None if the role has none; ``missing_privileges`` are rights on existing tables
    that the server needs.
    ``usable_connections`` is how many connections the role that connected may have, including those
    of others: not reserved for other roles, and within the limits of the role and the database.
    """

    version: str
    role: str
    superuser: str | None
    database: str
    schema: str | None
    may_create: bool
    missing_privileges: list[str]
    connections: int
    max_connections: int
    usable_connections: int
    is_encrypted: bool


_FIND = """
SELECT
    current_setting('server_version'),
    current_user::text,
    (
        SELECT min(rolname::text)
        FROM pg_roles
        WHERE rolname IN (session_user, current_user) AND rolsuper
    ),
    current_database()::text,
    current_schema()::text,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
    ARRAY(
        SELECT privilege || ' on ' || name
        FROM unnest(%(tables)s::text[]) AS name
        CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
        WHERE NOT has_table_privilege(to_regclass(name), privilege)
        ORDER BY name, privilege
    ),
    -- Not from pg_stat_activity, where a role sees the kind of its own sessions only.
    (SELECT sum(numbackends)::integer FROM pg_stat_database),
    current_setting('max_connections')::integer,
    least(
        current_setting('max_connections')::integer
            - current_setting('superuser_reserved_connections')::integer
            -- Since Postgres 16.
            - coalesce(current_setting('reserved_connections', true)::integer, 0),
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = session_user),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
    )
"""
# With the rights of the role that connected, which a default may have replaced: others do not see
# whether its session is encrypted.
# Only outside a transaction, whose role it would replace until the end.
_IS_ENCRYPTED = """
SET LOCAL ROLE NONE;
SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)
"""


async def get_server_state(connection: Connection) -> ServerStateRow:
    """Return the state of Postgres; raises LookupError."""
    row = await connection.fetch_one(_FIND, {"tables": list(TABLES)})
    encryption = await connection.fetch_one(_IS_ENCRYPTED)
    if row is None or encryption is None:
        raise LookupError("Postgres returned no state.")
    return ServerStateRow(*row, *encryption)

"""Rights of other roles that could make statements of this server call their functions.

If no operator or function of pg_catalog fits the types of an expression, Postgres uses one of our
schema. No other role may therefore create objects in it, or own functions and operators there.
"""

from collections.abc import Sequence

from db.errors import SchemaError
from db.rows import Row

# Roles that can become ours anyway are left out: superusers, members of our role, and before
# Postgres 16 roles that may create roles. A group counts as the roles that can become it.
FIND_PRIVILEGES = """
WITH ours AS (
    SELECT oid, nspname, nspowner, coalesce(nspacl, acldefault('n', nspowner)) AS acl
    FROM pg_namespace
    WHERE nspname = current_schema()
), others AS (
    SELECT oid, rolname
    FROM pg_roles
    WHERE rolcanlogin AND NOT rolsuper AND NOT pg_has_role(oid, current_user, 'MEMBER')
        AND NOT (rolcreaterole AND current_setting('server_version_num')::integer < 160000)
), creators AS (
    SELECT nspowner AS role FROM ours
    UNION
    SELECT entry.grantee FROM ours, aclexplode(acl) AS entry WHERE entry.privilege_type = 'CREATE'
), owners AS (
    SELECT proowner AS role FROM pg_proc WHERE pronamespace = (SELECT oid FROM ours)
    UNION
    SELECT oprowner FROM pg_operator WHERE oprnamespace = (SELECT oid FROM ours)
    UNION
    SELECT relowner
    FROM pg_class
    WHERE relnamespace = (SELECT oid FROM ours) AND relname = ANY (%s::text[])
)
SELECT
    quote_ident(ours.nspname),
    EXISTS (SELECT FROM creators WHERE role = 0),
    (
        SELECT min(s.rolname::text)
        FROM others s
        JOIN creators c ON c.role <> 0 AND pg_has_role(s.oid, c.role, 'MEMBER')
    ),
    (
        SELECT min(s.rolname::text)
        FROM others s
        JOIN owners o ON pg_has_role(s.oid, o.role, 'MEMBER')
    ),
    quote_ident(current_user)
FROM ours
"""


def check_privileges(rows: Sequence[Row]) -> None:
    """Raise SchemaError, with advice, if FIND_PRIVILEGES found a right of another role."""
    # The names of the schema and of our role are quoted for SQL.
    schema, can_everyone_create, creator, owner, our_role = rows[0]
    if can_everyone_create:
        raise SchemaError(
            f"Every role may create functions in the schema {schema}, which statements of this"
            " server could call: in this database, as a superuser or its owner, run"
            f" REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC;"
            f" GRANT USAGE, CREATE ON SCHEMA {schema} TO {our_role};"
        )
    if creator is not None:
        raise SchemaError(
            f"The role {creator!r} may create functions in the schema {schema}, which statements of"
            " this server could call: revoke that right, or give the server a schema of its own:"
            f" CREATE SCHEMA {our_role} AUTHORIZATION {our_role};"
        )
    if owner is not None:
        raise SchemaError(
            f"The role {owner!r} owns functions, operators or tables in the schema {schema}, which"
            " statements of this server could call: drop them, or change their owner to the"
            " server's role."
        )

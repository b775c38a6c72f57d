"""Who else could have statements of this server run functions of theirs.

Where the types of an expression are none that an operator or a function of pg_catalog has, Postgres
takes one of our schema that has them. So nobody else may create in it, or have created.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from db.errors import SchemaError
from db.rows import Row

# A role that can become ours anyway is no stranger: a superuser, a member of our role, and before
# Postgres 16 whoever may make roles. A group is as many strangers as can become it.
FIND_STRANGERS = """
WITH ours AS (
    SELECT oid, nspname, nspowner, coalesce(nspacl, acldefault('n', nspowner)) AS acl
    FROM pg_namespace
    WHERE nspname = current_schema()
), strangers AS (
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
        FROM strangers s
        JOIN creators c ON c.role <> 0 AND pg_has_role(s.oid, c.role, 'MEMBER')
    ),
    (
        SELECT min(s.rolname::text)
        FROM strangers s
        JOIN owners o ON pg_has_role(s.oid, o.role, 'MEMBER')
    ),
    quote_ident(current_user)
FROM ours
"""


@dataclass(frozen=True, slots=True)
class Strangers:
    """Who may create in a schema, or has created what our statements would meet there.

    Names that stand in SQL are quoted as it needs them.
    """

    schema: str
    may_everybody: bool
    creator: str | None
    owner: str | None
    our_role: str

    def refuse(self) -> None:
        """Raise SchemaError, with what to do, where there is anybody."""
        if self.may_everybody:
            raise SchemaError(
                f"Every role may create functions in the schema {self.schema}, which statements of"
                " this server could run: in this database, as a superuser or its owner, run"
                f" REVOKE CREATE ON SCHEMA {self.schema} FROM PUBLIC;"
                f" GRANT USAGE, CREATE ON SCHEMA {self.schema} TO {self.our_role};"
            )
        if self.creator is not None:
            raise SchemaError(
                f"The role {self.creator!r} may create functions in the schema {self.schema}, which"
                " statements of this server could run: revoke that right, or give the server a"
                f" schema of its own: CREATE SCHEMA {self.our_role} AUTHORIZATION {self.our_role};"
            )
        if self.owner is not None:
            raise SchemaError(
                f"The role {self.owner!r} owns functions, operators or tables in the schema"
                f" {self.schema}, which statements of this server could run: drop them, or give"
                " them to the server's role."
            )


def strangers_in(rows: Sequence[Row]) -> Strangers:
    """Return what FIND_STRANGERS found."""
    return Strangers(*rows[0])

"""The role that the embedded Postgres serves: it owns what is there, and has no other right.

The superuser that initdb makes reads any file of the user that Postgres runs as, and runs programs.
No connection is let in as that one. What needs it is done before Postgres starts, in its
single-user mode, which no socket leads to.
"""

import re

ROLE = "userauth"
DATABASE = "postgres"
ACCESS_FILE = "access.conf"
# Who reaches the socket is root, or the user that Postgres runs as: its folder is theirs alone.
ACCESS = f"""\
# Written by userauth, which goes by its existence: the role below owns what is in the databases.
local all {ROLE} trust
local all all reject
"""
LIST_DATABASES = """\
SELECT datname AS found FROM pg_database WHERE datallowconn AND NOT datistemplate;

"""
_FOUND = re.compile(r'\bfound = "(.+)"\t')
# Any number of times: what was done already is not found again. Members of extensions stay whose
# they are; a sequence goes with the column that it numbers. 10 is the superuser of initdb.
TRANSFER_OWNERSHIP = f"""\
SET search_path = pg_catalog;

DO $$
DECLARE
    statement text;
BEGIN
    IF to_regrole('{ROLE}') IS NULL THEN
        CREATE ROLE {ROLE};
    END IF;
    ALTER ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    FOR statement IN
        SELECT format('REVOKE %s FROM {ROLE}', roleid::regrole)
        FROM pg_auth_members
        WHERE member = to_regrole('{ROLE}')
    LOOP
        EXECUTE statement;
    END LOOP;
    FOR statement IN
        WITH
        ours AS (
            SELECT oid, nspname, nspowner
            FROM pg_namespace
            WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        ),
        fixed AS (
            SELECT objid FROM pg_depend WHERE deptype = 'e'
            UNION ALL
            SELECT oid
            FROM pg_depend
            JOIN pg_class ON oid = objid AND classid = 'pg_class'::regclass
            WHERE relkind = 'S' AND deptype IN ('a', 'i')
        ),
        found (kind, name, id) AS (
            SELECT 'DATABASE', quote_ident(datname), oid
            FROM pg_database
            WHERE datname = current_database() AND datdba = 10
        UNION ALL
            SELECT 'SCHEMA', quote_ident(nspname), oid FROM ours WHERE nspowner = 10
        UNION ALL
            SELECT
                CASE relkind
                    WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'c' THEN 'TYPE'
                    WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE'
                END,
                c.oid::regclass::text,
                c.oid
            FROM pg_class c
            JOIN ours ON ours.oid = relnamespace
            WHERE relowner = 10 AND relkind IN ('r', 'p', 'S', 'v', 'm', 'c')
        UNION ALL
            SELECT 'ROUTINE', p.oid::regprocedure::text, p.oid
            FROM pg_proc p
            JOIN ours ON ours.oid = pronamespace
            WHERE proowner = 10
        UNION ALL
            SELECT 'TYPE', t.oid::regtype::text, t.oid
            FROM pg_type t
            JOIN ours ON ours.oid = typnamespace
            WHERE typowner = 10 AND typtype IN ('d', 'e', 'r')
        )
        SELECT format('ALTER %s %s OWNER TO {ROLE}', kind, name)
        FROM found
        WHERE id NOT IN (SELECT objid FROM fixed)
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;

"""  # noqa: S608 - our own name


def databases_in(said: str) -> list[str]:
    """Read the answer to LIST_DATABASES as the single-user mode prints it."""
    return _FOUND.findall(said)

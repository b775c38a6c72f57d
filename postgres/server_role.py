"""The role for connections to the embedded Postgres: it owns the databases, and nothing else.

The superuser that initdb creates could read any file of the system user of Postgres, and run
programs as that user. No connection is therefore accepted for it; its work is done before Postgres
starts, in single-user mode, which has no socket.
"""

import re

ROLE = "userauth"
DATABASE = "postgres"
ACCESS_FILE = "access.conf"
# Only root and the system user of Postgres can access the directory of the socket.
ACCESS = f"""\
# Written by userauth once the role below owns the databases. Do not create it by hand.
local all {ROLE} trust
local all all reject
"""
LIST_DATABASES = """\
SELECT datname AS found FROM pg_database WHERE datallowconn AND NOT datistemplate;

"""
_FOUND = re.compile(r'\bfound = "(.+)"\t')
# Can be repeated. Objects of extensions keep their owner; the owner of a sequence is that of the
# table of its column. 10 is the id of the superuser that initdb creates.
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

"""


def read_databases(output: str) -> list[str]:
    """Return the databases in the output of LIST_DATABASES in single-user mode."""
    return _FOUND.findall(output)

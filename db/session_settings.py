"""The settings of each session, which override defaults of the role, the database or the cluster.

The statement runs with the search_path of the role, where other roles may have created objects, and
therefore qualifies each name. The search_path that it sets is pg_catalog, which Postgres searches
first although it is not listed, then the schema that contains our tables, in which other roles must
have no rights (db/schema_privileges.py), then temporary tables.
"""

from dataclasses import dataclass

from db.errors import ReadOnly, SchemaError, UndeclaredPooler
from db.rows import Row

# The search_path of a role without a schema.
_NO_SCHEMA = "pg_temp"
MISSING_SCHEMA = "No schema in the search_path of the server's role exists: create one."
# The schema that contains our tables, or will contain them: not that of temporary tables, where
# Postgres would create them if the search_path names pg_temp and no schema before it exists.
FIND_SEARCH_PATH = """
    coalesce(
        coalesce(
            (
                SELECT pg_catalog.quote_ident(n.nspname)
                FROM pg_catalog.pg_class c
                JOIN pg_catalog.pg_namespace n
                    ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
                WHERE c.oid OPERATOR(pg_catalog.=)
                    pg_catalog.to_regclass('userauth_schema')::pg_catalog.oid
                    AND NOT pg_catalog.starts_with(n.nspname, 'pg_temp_')
            ),
            (
                SELECT pg_catalog.quote_ident(n.nspname)
                FROM pg_catalog.pg_namespace n
                WHERE n.nspname OPERATOR(pg_catalog.=) pg_catalog.current_schema()
                    AND NOT pg_catalog.starts_with(n.nspname, 'pg_temp_')
            )
        ) OPERATOR(pg_catalog.||) ', pg_temp',
        'pg_temp'
    )
"""
# The locks in db.tokens and db.users rely on read committed: a transaction that waited for a lock
# must see what its holder committed.
# A commit is on disk, and on the synchronous standby if there is one, before it is acknowledged:
# local, remote_write and off promise less than on, and remote_apply more.
# JIT compilation takes longer than any of our statements, and the estimated cost of lookups exceeds
# jit_above_cost: they run without enable_seqscan, and read a table of one row as a whole.
# transaction_timeout, since Postgres 17, would end migrations and restores, and
# idle_session_timeout, since 14, the free connections of the pool.
# Nothing is set if there is a pooler: the process id that it reports is not that of the session.
SET_SESSION = f"""
SELECT
    pg_catalog.pg_is_in_recovery(),
    pg_catalog.current_setting('transaction_read_only') OPERATOR(pg_catalog.=) 'on',
    pg_catalog.set_config('TimeZone', 'UTC', false),
    pg_catalog.set_config('default_transaction_isolation', 'read committed', false),
    pg_catalog.set_config('statement_timeout', %(statement)s, false),
    pg_catalog.set_config('idle_in_transaction_session_timeout', %(statement)s, false),
    CASE
        WHEN pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL
        THEN pg_catalog.set_config('transaction_timeout', '0', false)
    END,
    CASE
        WHEN pg_catalog.current_setting('idle_session_timeout', true) IS NOT NULL
        THEN pg_catalog.set_config('idle_session_timeout', '0', false)
    END,
    pg_catalog.set_config('array_nulls', 'on', false),
    pg_catalog.set_config('jit', 'off', false),
    pg_catalog.set_config('client_min_messages', 'warning', false),
    pg_catalog.set_config('lock_timeout', %(lock)s, false),
    pg_catalog.set_config(
        'synchronous_commit',
        CASE
            WHEN pg_catalog.current_setting('synchronous_commit')
                OPERATOR(pg_catalog.=) 'remote_apply'
            THEN 'remote_apply'
            ELSE 'on'
        END,
        false
    ),
    pg_catalog.set_config(
        'search_path',
        coalesce(%(search_path)s::pg_catalog.text, {FIND_SEARCH_PATH}),
        false
    )
WHERE coalesce(pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) %(pid)s, true)
"""


@dataclass(frozen=True, slots=True)
class StatementTimeouts:
    """The time limits of a statement and its wait for a lock, in milliseconds; 0 is no limit."""

    statement: int
    lock: int


def session_parameters(
    timeouts: StatementTimeouts, search_path: str | None, pid: int | None
) -> dict[str, object]:
    """Return the parameters of SET_SESSION; without a search_path Postgres searches for it.

    ``pid`` is the process id that the protocol named, None if a pooler may be in between.
    """
    return {
        "statement": str(timeouts.statement),
        "lock": str(timeouts.lock),
        "search_path": search_path,
        "pid": pid,
    }


def read_session(row: Row | None, host: str) -> str:
    """Return the search_path that SET_SESSION set.

    Raises UndeclaredPooler if a pooler is in between, ReadOnly if the host is not a primary that
    accepts writes, and SchemaError if the role has no schema.
    """
    if row is None:
        raise UndeclaredPooler
    is_standby, is_read_only, *_, search_path = row
    check_primary(host, search_path, is_standby=is_standby, is_read_only=is_read_only)
    return str(search_path)


def check_primary(host: str, search_path: str, *, is_standby: bool, is_read_only: bool) -> None:
    """Raise ReadOnly or SchemaError if the server cannot work in a session."""
    if is_standby:
        raise ReadOnly(f"Postgres at {host} is a standby")
    if is_read_only:
        raise ReadOnly(f"Postgres at {host} is read-only: default_transaction_read_only is on")
    if search_path == _NO_SCHEMA:
        raise SchemaError(MISSING_SCHEMA)

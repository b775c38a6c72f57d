"""What each connection sets first, whatever the role, the database or the cluster has as defaults.

The statement runs on the search_path of the role, where others may have put objects: each name in
it is qualified. After it, names are those of pg_catalog, which is searched first without being
listed, then those of the one schema that holds our tables, in which the start refuses rights of
others (db/schema.py). Temporary tables come last.
"""

from dataclasses import dataclass

from db.errors import ReadOnly, SchemaError
from db.rows import Row

_NOWHERE = "pg_temp"
# Read committed is what the locks in db.tokens and db.users rely on: whoever waited for a
# lock must see what its holder committed.
# A commit is on disk before it is acknowledged, and on the synchronous standby where there is
# one: local, remote_write and off promise less than on, remote_apply more.
PIN = """
SELECT
    pg_catalog.pg_is_in_recovery(),
    pg_catalog.current_setting('transaction_read_only') OPERATOR(pg_catalog.=) 'on',
    pg_catalog.set_config('TimeZone', 'UTC', false),
    pg_catalog.set_config('default_transaction_isolation', 'read committed', false),
    pg_catalog.set_config('statement_timeout', %(statement)s, false),
    pg_catalog.set_config('idle_in_transaction_session_timeout', %(statement)s, false),
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
        coalesce(
            %(path)s::pg_catalog.text,
            coalesce(
                (
                    SELECT pg_catalog.quote_ident(n.nspname)
                    FROM pg_catalog.pg_class c
                    JOIN pg_catalog.pg_namespace n
                        ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
                    WHERE c.oid OPERATOR(pg_catalog.=)
                        pg_catalog.to_regclass('userauth_schema')::pg_catalog.oid
                ),
                pg_catalog.quote_ident(pg_catalog.current_schema())
            ) OPERATOR(pg_catalog.||) ', pg_temp',
            'pg_temp'
        ),
        false
    )
"""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a statement, and its wait for a lock, may take, in milliseconds; 0: any time."""

    statement: int
    lock: int


def pin_parameters(waits: Waits, path: str | None) -> dict[str, object]:
    """Return what PIN takes; ``path`` is what an earlier connection returned, or None."""
    return {"statement": str(waits.statement), "lock": str(waits.lock), "path": path}


def read_pinned(row: Row, place: str) -> str:
    """Return the search_path that is set now.

    Raises ReadOnly where Postgres at that place is no primary that takes writes, and SchemaError
    where the role has no schema to look into.
    """
    is_standby, is_read_only, *_, path = row
    if is_standby:
        raise ReadOnly(f"Postgres at {place} is a standby")
    if is_read_only:
        raise ReadOnly(f"Postgres at {place} only reads: default_transaction_read_only is on")
    if path == _NOWHERE:
        raise SchemaError(
            "No schema in the search_path of the server's role exists: create one for it."
        )
    return str(path)

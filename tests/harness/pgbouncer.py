"""PgBouncer between userauth and the Postgres of a test."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile, gettempdir

import psycopg2
from psycopg2.extensions import parse_dsn

from postgres.programs import account_for
from tests.harness.databases import apply, new_database
from tests.harness.processes import free_port, listening
from tests.harness.programs import get_program
from tests.harness.sql import run_sql

# As docs/database.md, for limits at least as high as those of the tests.
ROLE_SETTINGS = (
    "statement_timeout = '1500ms'",
    "idle_in_transaction_session_timeout = '1500ms'",
    "lock_timeout = '1000ms'",
    "search_path = public, pg_temp",
    "TimeZone = 'UTC'",
)
# PgBouncer itself keeps these for each of its clients.
_TRACKED = ("application_name", "client_encoding", "DateStyle", "TimeZone")


@contextmanager
def running_pgbouncer(
    dsn: str, *, reset_query: str = "DISCARD ALL", pool_size: int = 20
) -> Iterator[str]:
    """Run PgBouncer; yield its URL, which lacks the pool mode as the name of the database.

    With an empty ``reset_query``, a session keeps what its previous user prepared in it.
    """
    port = free_port()
    parts = parse_dsn(dsn)
    host, database = parts["host"], parts["dbname"]
    where = f"host={host} port={parts.get('port', 5432)} dbname={database}"
    modes = "".join(
        f"{mode} = {where} user=userauth pool_mode={mode}\n"
        for mode in ("session", "transaction", "statement")
    )
    # It refuses to run as root, and not every user may enter the folder of the socket.
    account = account_for(Path(host if host.startswith("/") else gettempdir()))
    with NamedTemporaryFile("w", suffix=".ini", encoding="utf-8") as configuration:
        configuration.write(
            f"[databases]\n{modes}[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            f"unix_socket_dir =\nauth_type = any\nserver_reset_query = {reset_query}\n"
            f"admin_users = userauth\ndefault_pool_size = {pool_size}\nmax_client_conn = 500\n"
        )
        configuration.flush()
        Path(configuration.name).chmod(0o644)
        process = subprocess.Popen(
            [get_program("pgbouncer"), "--quiet", configuration.name],
            stderr=subprocess.DEVNULL,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
        with listening(process, port):
            yield f"postgresql://userauth@127.0.0.1:{port}/"


@dataclass(frozen=True)
class PooledDatabase:
    """A database of its own, with the schema and the settings of the role; two ways to it."""

    direct: str
    url: str
    pool_size: int

    def reconnect(self) -> None:
        """Have PgBouncer replace its sessions, as after a change of the role."""
        with closing(psycopg2.connect(f"{self.url.rpartition('/')[0]}/pgbouncer")) as console:
            console.autocommit = True
            console.cursor().execute("RECONNECT")

    def leftovers(self) -> list[str]:
        """Return what is left in the sessions of the pool while no transaction runs."""
        with ExitStack() as stack:
            found = []
            for _ in range(self.pool_size):
                connection = stack.enter_context(closing(psycopg2.connect(self.url)))
                cursor = connection.cursor()
                # In a transaction, so that each connection keeps a session.
                cursor.execute(_FIND_LEFTOVERS, {"tracked": list(_TRACKED)})
                found += cursor.fetchall()
        pids = {pid for pid, _ in found}
        assert len(pids) == self.pool_size
        return [name for _, names in found for name in names]


_FIND_LEFTOVERS = """
SELECT pg_backend_pid(), ARRAY(
    SELECT name FROM pg_settings WHERE source = 'session' AND name <> ALL (%(tracked)s)
    UNION ALL
    SELECT 'statement ' || name FROM pg_prepared_statements
    UNION ALL
    SELECT 'cursor ' || name FROM pg_cursors WHERE name <> ''
    UNION ALL
    SELECT 'advisory lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL
    SELECT 'table ' || relname FROM pg_class WHERE relpersistence = 't'
)
"""


def set_role(dsn: str, name: str) -> None:
    """Set what sessions of a pooler in transaction mode need."""
    for setting in ROLE_SETTINGS:
        run_sql(dsn, f"ALTER ROLE userauth IN DATABASE {name} SET {setting}")


@contextmanager
def pooled_database(postgres: str, name: str, *, pool_size: int = 4) -> Iterator[PooledDatabase]:
    """Create a database, and run PgBouncer in transaction mode before it."""
    with new_database(postgres, name) as dsn:
        apply(dsn)
        set_role(dsn, name)
        with running_pgbouncer(dsn, pool_size=pool_size) as url:
            yield PooledDatabase(dsn, f"{url}transaction", pool_size)

"""A blocking connection, for COPY, which aiopg does not support, and for long statements."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2 import extensions
from psycopg2.sql import Composable

from db.commit_warnings import rejecting_warnings
from db.dsn import describe, naming, parse_url
from db.errors import PoolerNotSupported, Unavailable
from db.events import INSERT, INSERT_BEFORE_4, parameters_of
from db.hosts import find_hosts
from db.pooler import SESSION
from db.rows import NewEvent, Parameters, Row
from db.schema_version import VERSION
from db.session_settings import (
    SET_SESSION,
    StatementTimeouts,
    read_session,
    session_parameters,
)
from db.translation import finding_schema, translate_connection_error, translate_driver_error
from settings.dsn import setting_of

# If there are several hosts, or IP addresses of a name, libpq chooses that of the primary; the
# timeout applies to each of them.
TO_THE_PRIMARY: Mapping[str, Any] = {"target_session_attrs": "read-write", "connect_timeout": "10"}
# The schema version that added an actor and a count to events.
_ACTORS_SINCE = 4
# Statements here may take hours, whatever the defaults of the database or the role.
_NO_TIMEOUTS = StatementTimeouts(statement=0, lock=0)


class PlainConnection:
    """A connection in autocommit mode; ``plain_connection`` translates its failures.

    Its methods raise Unavailable if a failover may undo what they have committed.
    """

    def __init__(self, raw: extensions.connection) -> None:
        self.raw = raw

    def execute(self, sql: str | Composable, parameters: Parameters = ()) -> int:
        """Run a statement; return the number of affected rows."""
        with self._executed(sql, parameters) as cursor:
            return cursor.rowcount

    def fetch_all(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Run a statement; return the rows of the result."""
        with self._executed(sql, parameters) as cursor:
            return cursor.fetchall()

    def value(self, sql: str, parameters: tuple[object, ...] = ()) -> Any:  # noqa: ANN401
        """Run a statement; return the first column of the first row."""
        return self.fetch_all(sql, parameters)[0][0]

    def insert_event(self, event: NewEvent, version: int = VERSION) -> None:
        """Insert an event into the audit trail of a database with that schema version."""
        statement = INSERT_BEFORE_4 if version < _ACTORS_SINCE else INSERT
        self.execute(statement, parameters_of(event))

    @contextmanager
    def transaction(self, begin: str = "BEGIN") -> Iterator[None]:
        """Commit at the end of the block, or roll back if it raises."""
        self.execute(begin)
        try:
            yield
        except BaseException:
            if not self.raw.closed:
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    @contextmanager
    def _executed(
        self, sql: str | Composable, parameters: Parameters
    ) -> Iterator[extensions.cursor]:
        with self.raw.cursor() as cursor:
            with rejecting_warnings(self.raw):
                cursor.execute(sql, parameters or None)
            yield cursor


@contextmanager
def plain_connection(dsn: str) -> Iterator[PlainConnection]:
    """Yield a connection; raises DatabaseError, including for failures in the block."""
    with naming(dsn), closing(_connect(dsn)) as raw, _translating_errors():
        connection = PlainConnection(raw)
        pid: int | None = raw.get_backend_pid()
        if connection.value("SELECT pg_catalog.pg_backend_pid()") != pid:
            _check_sessions(dsn, connection)
            pid = None
        with finding_schema():
            [row] = connection.fetch_all(SET_SESSION, session_parameters(_NO_TIMEOUTS, None, pid))
        read_session(row, describe(dsn))
        yield connection


def _connect(dsn: str) -> extensions.connection:
    # Before libpq, whose message about a malformed DSN quotes the password.
    find_hosts(parse_url(dsn))
    try:
        raw: extensions.connection = psycopg2.connect(
            dsn, application_name="userauth", client_encoding="UTF8", **TO_THE_PRIMARY
        )
    except psycopg2.Error as error:
        failure = translate_connection_error(error)
        if not isinstance(failure, Unavailable):
            raise failure from None
        failure.setting = setting_of(dsn)
        raise Unavailable(failure.explanation.removesuffix(".")) from None
    raw.autocommit = True
    return raw


@contextmanager
def _translating_errors() -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        # Without psycopg2's text, which can contain values of the statement.
        failure = translate_driver_error(error)
        if isinstance(failure, PoolerNotSupported):
            raise failure from None
        raise type(failure)(f"A statement failed: {failure}") from None


def _check_sessions(dsn: str, connection: PlainConnection) -> None:
    """Raise PoolerNotSupported if a second connection gets the session of this one."""
    with closing(_connect(dsn)) as second:
        [session] = connection.fetch_all(SESSION)
        if PlainConnection(second).fetch_all(SESSION) == [session]:
            raise PoolerNotSupported("connections share sessions of Postgres")


def postgres_time(dsn: str) -> float:
    """Return the time of Postgres in UTC seconds."""
    with plain_connection(dsn) as connection:
        return float(connection.value("SELECT extract(epoch FROM clock_timestamp())"))

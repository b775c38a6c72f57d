"""The translation of errors of psycopg2, aiopg and asyncio into those of db/errors.py."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.errors import InsufficientPrivilege

from db.errors import (
    ConnectionRejected,
    DatabaseError,
    InvalidUrl,
    Locked,
    PoolerNotSupported,
    ReadOnly,
    SchemaError,
    StatementError,
    Unavailable,
    combined,
)
from db.session_settings import MISSING_SCHEMA

DriverError = psycopg2.Error | TimeoutError

# A read-only transaction, which psycopg2 does not count among the OperationalErrors.
_READ_ONLY = "25006"
# Messages of libpq about a Postgres that responds: about a standby if target_session_attrs rejects
# it, and about a connection that cannot be encrypted or authenticated. libpq itself writes English,
# because Python leaves the locale of messages as it is.
_STANDBY = ("session is read-only", "server is in hot standby mode")
_REJECTED = ("does not support SSL", "certificate", "no password supplied")
# A message of Postgres itself, in the language of its lc_messages: libpq writes two spaces after
# the severity, which is FATAL in some languages only.
_ANSWER = re.compile(r"[^:\n]+:  \S")
# Where libpq names the host, once for each attempt.
_FAILED = re.compile(r"^connection to server .*? failed: ")
_NEXT = re.compile(r"\n(?=connection to server )")
# Messages of libpq about an option that it cannot use, and names for it without its value.
_INVALID = {
    re.compile(pattern): name
    for pattern, name in (
        (r'invalid integer value ".*" for connection option "(\w+)"', r"\1 value"),
        (r'invalid "?([\w ]+?)"? (value|number|method|range)\b', r"\1 \2"),
        (r"(?:weak )?(sslmode|sslnegotiation) (?:value )?\".*\" (?:invalid|may not)", r"\1 value"),
        (r"could not parse network address ", "hostaddr value"),
        (r"(?:definition of )?service .* not found", "service value"),
        (r"(Unix-domain socket path) .* is too long", r"\1"),
    )
}
# The end of lock_timeout.
_LOCK_NOT_AVAILABLE = "55P03"
# A prepared statement already exists, or does not exist: a pooler has connected us to a session in
# which another client has prepared its own.
_FOREIGN_SESSION = frozenset({"42P05", "26000"})


def translate_connection_error(
    error: DriverError | OSError | asyncio.CancelledError, host: str = ""
) -> DatabaseError | asyncio.CancelledError:
    """Return the error to raise if connecting failed: libpq's reason contains no password.

    ``host`` is the host that was tried; without it, the reason names the hosts that libpq tried.
    """
    if isinstance(error, TimeoutError) or not isinstance(
        error, psycopg2.OperationalError | OSError
    ):
        return translate(error)
    # psycopg2 has no SQLSTATE for a failed connection. Indented lines are advice.
    text = "\n".join(line for line in str(error).splitlines() if not line.startswith("\t"))
    if invalid := _find_invalid(_FAILED.sub("", text)):
        return InvalidUrl(f"has an invalid {invalid}.")
    failures = [_failure(attempt, host) for attempt in _NEXT.split(text)]
    return failures[0] if len(failures) == 1 else combined(failures)


def _failure(text: str, host: str) -> Unavailable:
    """Return the error of one attempt of libpq."""
    message = _FAILED.sub("", text)
    line = " ".join("; ".join((message if host else text).splitlines()).split())
    reason = f"{host}: {line}" if host else line
    if _ANSWER.match(message) or any(part in line for part in _REJECTED):
        return ConnectionRejected(reason)
    return ReadOnly(reason) if any(part in line for part in _STANDBY) else Unavailable(reason)


def _find_invalid(reason: str) -> str:
    """Return the name of the option that libpq rejects, empty if there is another reason."""
    for pattern, name in _INVALID.items():
        if match := pattern.match(reason):
            return match.expand(name)
    return ""


def translate(
    error: DriverError | asyncio.CancelledError,
) -> DatabaseError | asyncio.CancelledError:
    """Return the error to raise if an awaited statement failed.

    aiopg turns a statement that Postgres cancelled into a CancelledError; one that cancels the
    awaiting task is returned unchanged.
    """
    if not isinstance(error, asyncio.CancelledError):
        return translate_driver_error(error)
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return error
    return Unavailable("Postgres cancelled the statement")


@contextmanager
def finding_schema() -> Iterator[None]:
    """Raise SchemaError if Postgres finds pg_temp only, and the role may create nothing there."""
    try:
        yield
    except InsufficientPrivilege:
        raise SchemaError(MISSING_SCHEMA) from None


def translate_driver_error(error: DriverError) -> DatabaseError:
    """Return the error to raise if psycopg2 failed, or time ran out.

    The message omits psycopg2's text, which can contain values of the statement.
    """
    if isinstance(error, TimeoutError):
        return Unavailable("Postgres did not answer in time")
    reason = f"{type(error).__name__}, SQLSTATE {error.pgcode}"
    if error.pgcode is None and _is_transient(error):
        return Unavailable(f"the connection to Postgres broke: {type(error).__name__}")
    if error.pgcode == _READ_ONLY:
        return ReadOnly(f"Postgres is read-only: {reason}")
    if error.pgcode == _LOCK_NOT_AVAILABLE:
        return Locked(f"another session holds a lock that the statement needs: {reason}")
    if error.pgcode in _FOREIGN_SESSION:
        return PoolerNotSupported(reason)
    return Unavailable(reason) if _is_transient(error) else StatementError(reason)


def _is_transient(error: psycopg2.Error) -> bool:
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return True
    # A broken connection has no code either, but errors of psycopg2 itself are one of these two.
    return error.pgcode is None and not isinstance(
        error, psycopg2.ProgrammingError | psycopg2.DataError
    )

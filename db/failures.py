"""What is raised instead of a failure of psycopg2, aiopg or the clock."""

import asyncio

import psycopg2

from db.errors import DatabaseError, Locked, ReadOnly, StatementError, Unavailable

Failure = psycopg2.Error | TimeoutError

# A transaction that may only read, which psycopg2 does not count among the OperationalErrors.
_READ_ONLY = "25006"
# The end of lock_timeout.
_LOCK_NOT_AVAILABLE = "55P03"


def connection_failure(
    error: Failure | OSError | asyncio.CancelledError,
) -> DatabaseError | asyncio.CancelledError:
    """Return what to raise where no connection was made: libpq's reason holds no values."""
    if isinstance(error, TimeoutError) or not isinstance(
        error, psycopg2.OperationalError | OSError
    ):
        return translated(error)
    return Unavailable(" ".join(str(error).split()))


def translated(error: Failure | asyncio.CancelledError) -> DatabaseError | asyncio.CancelledError:
    """Return what to raise instead of a failure of an awaited statement.

    aiopg turns a statement that Postgres cancelled into a CancelledError; one that
    cancels the task that awaits stays what it is.
    """
    if not isinstance(error, asyncio.CancelledError):
        return database_error(error)
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return error
    return Unavailable("Postgres cancelled the statement.")


def database_error(error: Failure) -> DatabaseError:
    """Return what to raise instead of a failure of psycopg2 or the clock.

    The message leaves out psycopg2's text: it can hold values of the statement.
    """
    if isinstance(error, TimeoutError):
        return Unavailable("Postgres did not answer in time.")
    said = f"{type(error).__name__}, SQLSTATE {error.pgcode}"
    if error.pgcode == _READ_ONLY:
        return ReadOnly(f"Postgres takes no writes: {said}")
    if error.pgcode == _LOCK_NOT_AVAILABLE:
        return Locked(f"another session holds a lock that the statement needs: {said}")
    return Unavailable(said) if _is_transient(error) else StatementError(said)


def _is_transient(error: psycopg2.Error) -> bool:
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return True
    # A connection that broke; what psycopg2 itself refuses is one of these two.
    return error.pgcode is None and not isinstance(
        error, psycopg2.ProgrammingError | psycopg2.DataError
    )

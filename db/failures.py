"""What is raised instead of a failure of psycopg2, aiopg or the clock."""

import asyncio

import psycopg2

from db.errors import DatabaseError, Failed, Unavailable

Failure = psycopg2.Error | TimeoutError

# SQLSTATE classes that speak of the state Postgres is in, not of the statement: invalid
# transaction state (read-only among them), resources, intervention, system errors.
_TRANSIENT_CLASSES = frozenset({"25", "53", "57", "58"})


def connection_failure(
    error: Failure | asyncio.CancelledError,
) -> DatabaseError | asyncio.CancelledError:
    """Return what to raise where no connection was made: libpq's reason holds no values."""
    if isinstance(error, psycopg2.OperationalError):
        return Unavailable(" ".join(str(error).split()))
    return translated(error)


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
    return Unavailable(said) if _is_transient(error) else Failed(said)


def _is_transient(error: psycopg2.Error) -> bool:
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return True
    if error.pgcode is None:
        # A connection that broke; what psycopg2 itself refuses is one of these two.
        return not isinstance(error, psycopg2.ProgrammingError | psycopg2.DataError)
    return error.pgcode[:2] in _TRANSIENT_CLASSES

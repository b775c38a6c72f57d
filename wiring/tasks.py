"""The periodic tasks of the server, and their last writes when it stops."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial

from db.clock import PostgresClock
from db.errors import DatabaseError
from db.pool import Database
from ops.logs import SERVER
from ops.periodic import PeriodicTask
from rules.errors import DatabaseUnavailable, Overloaded
from services.all_services import Services
from services.housekeeping import Housekeeping, RetentionPolicy
from settings import Settings

# How long a stop waits for the last write of token uses, and of failures.
LAST_WRITE_SECONDS = 2.0
_UNUSABLE_SECONDS = 60.0
# Any other failure of a task is a defect of the server.
_EXPECTED = (DatabaseError, Overloaded)


@asynccontextmanager
async def periodic_tasks(
    settings: Settings,
    database: Database,
    services: Services,
    postgres_clock: PostgresClock,
    clock: Callable[[], float],
) -> AsyncIterator[None]:
    """Run the periodic tasks until the end of the block, and then write the remaining data."""
    housekeeping = Housekeeping(database, clock=clock, keep=_retention(settings))
    with suppress(DatabaseUnavailable):  # the task below retries it
        await services.hash_kinds.find()
    tasks = (
        ("clock comparison failed", postgres_clock.measure),
        ("writing counted failures failed", services.audit.write_counted),
        ("writing token uses failed", services.usage.write),
        ("housekeeping failed", housekeeping.remove),
        ("deleting void registrations failed", services.registration.remove_void),
        ("measuring hash kinds failed", services.hash_kinds.measure),
        ("looking at the schema failed", services.peers.look),
    )
    async with AsyncExitStack() as stack:
        # First, so that they run last: a task may add to both until it is closed.
        stack.push_async_callback(_write_last, "token uses", services.usage.write)
        stack.push_async_callback(_write_last, "failures", services.audit.write_all_counted)
        for name, work in tasks:
            task = PeriodicTask(name, partial(_run, work, database), expected=_EXPECTED)
            stack.push_async_callback(task.close)
        yield


async def _run(work: Callable[[], Awaitable[float]], database: Database) -> float:
    """Do some work; ignore failures once no connection can be used: the log has the reason."""
    try:
        with _raising_causes():
            return await work()
    except DatabaseError:
        if database.is_usable:
            raise
        return _UNUSABLE_SECONDS


@contextmanager
def _raising_causes() -> Iterator[None]:
    """Raise the cause of a DatabaseUnavailable, whose own message is for callers."""
    try:
        yield
    except DatabaseUnavailable as error:
        raise (error.__cause__ or error) from None


def _retention(settings: Settings) -> RetentionPolicy:
    return RetentionPolicy(
        expired_days=settings.tokens.keep_expired_days,
        event_days=settings.audit.keep_days,
        count_seconds=settings.throttle.forget_seconds + settings.throttle.longest_delay_seconds,
    )


async def _write_last(what: str, write: Callable[[], Awaitable[object]]) -> None:
    try:
        async with asyncio.timeout(LAST_WRITE_SECONDS):
            with _raising_causes():
                await write()
    except TimeoutError:
        _warn(what, f"Postgres did not answer within {LAST_WRITE_SECONDS:g} s")
    except DatabaseError as error:
        _warn(what, str(error))


def _warn(what: str, reason: str) -> None:
    logging.getLogger(SERVER).warning("the last %s were not written: %s", what, reason)

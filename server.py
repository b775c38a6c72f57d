"""The userauth server: settings, database, application, listen, drain, stop.

Run as ``python server.py``; ``--check`` checks the settings and stops. Exits with 0 after
SIGTERM or SIGINT, 1 where it cannot start, 2 where the settings are wrong.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from auth.accounts import Accounts
from auth.keys import KeysFileError, read_keys, read_or_create_keys
from auth.password_rules import PasswordRules
from auth.passwords import PasswordHasher
from auth.remembered import RememberedPasswords
from auth.tokens import TokenSigner
from db.connecting import PoolLimits, describe
from db.embedded import EmbeddedPostgres, EmbeddedPostgresError
from db.errors import DatabaseError, SchemaError, Unavailable
from db.lookups import open_lookups
from db.pool import Database
from db.schema import apply_schema
from handlers.application import Application
from handlers.http_server import Server
from ops.background import Repeating
from ops.event_loop import EventLoop
from ops.garbage import spare_what_stays
from ops.lag import LagWatch
from ops.logs import RequestLog, configure_logging
from settings import Profile, Settings, SettingsError, load_settings

ROOT = Path(__file__).resolve().parent
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StartError(Exception):
    """The server cannot start; the message tells the operator why."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the server until it is told to stop; return the exit code."""
    parser = argparse.ArgumentParser(description="A user-authentication server.")
    parser.add_argument("--check", action="store_true", help="check the settings and stop")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(environ, ROOT / "settings.toml")
    except SettingsError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return 2
    if options.check:
        print(f"The settings are good ({settings.profile}).")
        return 0
    configure_logging()
    try:
        serve(settings)
    except (StartError, EmbeddedPostgresError, KeysFileError) as error:
        print(f"userauth: {error}", file=sys.stderr)
        return 1
    return 0


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    # Until the loop takes over, a signal unwinds what was started.
    for number in STOP_SIGNALS:
        signal.signal(number, _exit)
    keys = signing_keys(settings)
    with postgres(settings) as dsn, asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(_serve(settings, keys, dsn))


def signing_keys(settings: Settings) -> Sequence[str]:
    """Return the signing keys, newest first, from the settings or from the keys file."""
    if settings.tokens.keys:
        return [key.get_secret_value() for key in settings.tokens.keys]
    if settings.tokens.keys_file is None:
        raise StartError("there is no signing key: set SECRET_KEYS or tokens.keys_file.")
    if settings.profile is Profile.PRODUCTION:
        return read_keys(settings.tokens.keys_file)
    return read_or_create_keys(settings.tokens.keys_file)


@contextmanager
def postgres(settings: Settings) -> Iterator[str]:
    """Yield where Postgres is, having started the embedded one where none is given."""
    if not settings.database.is_embedded:
        yield settings.database.url.get_secret_value()
        return
    embedded = EmbeddedPostgres.start(settings.database.embedded_dir)
    try:
        yield embedded.dsn
    finally:
        embedded.stop()


@asynccontextmanager
async def open_application(
    settings: Settings, keys: Sequence[str], dsn: str, clock: Callable[[], float] = time.time
) -> AsyncIterator[Application]:
    """Build the application on a database with the schema in it, and release it after use."""
    async with AsyncExitStack() as stack:
        hasher = PasswordHasher(
            cost=settings.passwords.bcrypt_cost,
            workers=settings.passwords.workers,
            max_wait_seconds=settings.passwords.max_wait_seconds,
        )
        stack.callback(hasher.close)
        database = await _open_database(settings, dsn)
        stack.push_async_callback(database.close)
        lookups = open_lookups(database)
        stack.push_async_callback(lookups.close)
        remembered = RememberedPasswords(settings.passwords.remember_seconds, time.monotonic)
        forgetting = Repeating("old passwords are not forgotten", remembered.forget)
        stack.push_async_callback(forgetting.close)
        accounts = Accounts(
            database=database,
            lookups=lookups,
            hasher=hasher,
            remembered=remembered,
            rules=PasswordRules(
                min_length=settings.passwords.min_length,
                refuse_common=settings.passwords.refuse_common,
            ),
            signer=TokenSigner(keys, clock),
            clock=clock,
            lifetime_seconds=settings.tokens.lifetime_seconds,
        )
        request_log = RequestLog(sys.stderr, clock)
        stack.callback(request_log.flush)
        yield Application(
            accounts=accounts,
            request_log=request_log,
            max_body_bytes=settings.limits.max_body_bytes,
        )


async def _open_database(settings: Settings, dsn: str) -> Database:
    limits = PoolLimits(
        settings.database.pool_min,
        settings.database.pool_max,
        settings.database.acquire_timeout_seconds,
        settings.database.query_timeout_seconds,
    )
    try:
        database = await Database.open(dsn, limits)
        try:
            await apply_schema(database, (ROOT / "schema.sql").read_text(encoding="utf-8"))
        except BaseException:
            await database.close()
            raise
    except SchemaError as error:
        raise StartError(str(error)) from error
    except Unavailable as error:
        raise StartError(f"Postgres does not answer ({error}): check DATABASE_URL.") from error
    except DatabaseError as error:
        raise StartError(
            f"Postgres refuses to serve ({error}): check the options in DATABASE_URL, and that"
            " its role may create tables."
        ) from error
    return database


async def _serve(settings: Settings, keys: Sequence[str], dsn: str) -> None:
    with _stop_signals() as told_to_stop:
        async with AsyncExitStack() as stack:
            opening = asyncio.ensure_future(
                stack.enter_async_context(open_application(settings, keys, dsn))
            )
            stopping = asyncio.ensure_future(told_to_stop.wait())
            await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                opening.cancel()
                return
            server = Server(opening.result(), settings.limits)
            port = _listen(server, settings)
            watch = LagWatch(settings.server.lag_warning_seconds)
            spare_what_stays()
            print(_greeting(settings, port), flush=True)
            await stopping
            await server.drain(
                quiet_seconds=settings.server.quiet_seconds,
                drain_seconds=settings.server.drain_seconds,
            )
            watch.close()


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """Yield the event that SIGTERM and SIGINT set; after it, they do nothing any more."""
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, told_to_stop.set)
    try:
        yield told_to_stop
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            # An impatient second one must not kill the stop of the embedded Postgres.
            signal.signal(number, signal.SIG_IGN)


def _listen(server: Server, settings: Settings) -> int:
    host, port = settings.server.host, settings.server.port
    try:
        return server.listen(host, port)
    except (OSError, UnicodeError) as error:
        raise StartError(
            f"it cannot listen on {host} port {port} ({error}): set HOST or PORT."
        ) from error


def _greeting(settings: Settings, port: int) -> str:
    host = settings.server.host
    shown = f"[{host}]" if ":" in host else host
    database = settings.database
    data = (
        database.embedded_dir if database.is_embedded else describe(database.url.get_secret_value())
    )
    return f"userauth ({settings.profile}) serves http://{shown}:{port}, data in {data}"


def _exit(_number: int, _frame: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

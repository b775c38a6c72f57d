"""The userauth server: settings, database, application, listen, drain, stop.

Run as ``python server.py``; ``--check`` checks the settings and stops. Exits with 0 after
SIGTERM or SIGINT, 1 where it cannot start, 2 where the settings are wrong.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import fields, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_core import to_json

from contract.openapi import DocumentOptions, encode, openapi_document
from db.clock import PostgresClock
from db.connecting import PoolLimits, describe
from db.durability import find_risks
from db.errors import DatabaseError, ReadOnly, SchemaError, Unavailable
from db.events import get_digest_key
from db.lookups import open_lookups
from db.pool import Database
from db.schema import apply_schema, check_schema
from handlers import routes
from handlers.application import Application
from handlers.docs import StaticDocument, read_static_documents
from handlers.metrics import MetricsServer
from ops.event_loop import EventLoop
from ops.gc import freeze_gc
from ops.lag import LagWatch
from ops.log_writer import LogWriter
from ops.logs import SERVER, RequestEvents, RequestLog, configure_logging, open_log
from ops.metrics import Metrics, Sources
from ops.periodic import PeriodicTask
from ops.systemd import Systemd, SystemdError
from postgres.embedded import STOP_SECONDS, EmbeddedPostgres, EmbeddedPostgresError
from postgres.folder import LOCK_SECONDS
from rules import imported_hashes
from rules.budget import Budget
from rules.digests import Digests
from rules.errors import DatabaseUnavailable, problem_types
from rules.hash_queue import HashQueue
from rules.keys import KeysFile, KeysFileError, read_keys, read_or_create_keys
from rules.origin import LocalOrigin
from rules.password_cache import PasswordCache
from rules.password_rules import PasswordRules
from rules.password_scheme import PasswordScheme
from rules.passwords import PasswordHasher
from rules.tokens import TokenSigner
from rules.write_turns import WriteTurns
from services.accounts import Accounts
from services.administration import Users
from services.all_services import Services
from services.audit import AuditTrail
from services.clients import Clients
from services.confirmation import Confirmation
from services.counts import TokenCounts
from services.hash_kinds import HashKinds
from services.housekeeping import Housekeeping, RetentionPolicy
from services.identities import Identities
from services.reservations import Reservations
from services.throttle import Throttle, ThrottleLimits
from services.tokens import Sessions
from services.transfer import Transfer
from services.usage import TokenUsage
from settings import HOW_TO_MAKE_A_KEY, Profile, Settings, SettingsError, load_settings
from settings.cautions import cautions
from settings.secret_strength import is_guessable
from transport.certificate import Certificate, CertificateError
from transport.client_address import ClientAddresses
from transport.cors import CrossOrigin
from transport.server import Server

if TYPE_CHECKING:
    from ops.traces import TracedRequests

# What OpenTelemetry calls where spans go to.
_COLLECTOR = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
ROOT = Path(__file__).resolve().parent
# How long the stop of a server waits for the last uses of tokens to be written.
_LAST_WRITE_SECONDS = 2.0
# How long the end of a server waits for whoever reads its log.
_LAST_LINES_SECONDS = 2.0
# By how many credentials a user may use up their budgets of writes at a time.
_CREDENTIALS_AT_A_TIME = 10
# What else there is to close at a stop.
_OTHER_STOP_SECONDS = 10.0


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
    try:
        if options.check:
            good = check(settings)
            for caution in cautions(settings):
                print(f"warning: {caution}", file=sys.stderr)
            print(good)
            return 0
        with _log(settings) as log:
            configure_logging(log)
            for caution in cautions(settings):
                logging.getLogger(SERVER).warning("settings: %s", caution)
            serve(settings, Systemd(environ), log)
    except (
        StartError,
        EmbeddedPostgresError,
        KeysFileError,
        CertificateError,
        SystemdError,
    ) as error:
        print(f"userauth: {error}", file=sys.stderr)
        return 1
    return 0


def check(settings: Settings) -> str:
    """Look into what the settings name, and say that all is good.

    Raises CertificateError, StartError where packages of OpenTelemetry are missing or the database
    could not be used, and in production, where no keys file is made, KeysFileError. A database that
    does not answer is no fault of the settings; the embedded one is not started.
    """
    _certificate(settings)
    if settings.profile is Profile.PRODUCTION:
        signing_keys(settings)
    _find_tracing()
    risks = [] if settings.database.is_embedded else _risks_of(settings)
    return "\n".join([f"The settings are good ({settings.profile}).", *risks])


def _risks_of(settings: Settings) -> list[str]:
    """Return what there is to say of a given database, which stays as it is."""
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        try:
            return [f"Warning: {risk}" for risk in runner.run(_examine(settings))]
        except (ReadOnly, SchemaError) as error:
            raise StartError(_advice(error)) from error
        except Unavailable as error:
            return [f"The database was not looked at: it does not answer ({error})."]
        except DatabaseError as error:
            raise StartError(_advice(error)) from error


async def _examine(settings: Settings) -> list[str]:
    limits = replace(_pool_limits(settings), pool_min=1, pool_max=1)
    database = await Database.open(settings.database.url.get_secret_value(), limits)
    try:
        await check_schema(database)
        async with database.connection() as connection:
            return await find_risks(connection)
    finally:
        await database.close()


@contextmanager
def _log(settings: Settings) -> Iterator[LogWriter]:
    """Open the log, and write what is left of it at the end, if somebody takes it soon."""
    log = open_log(sys.stderr, settings.logging.format)
    try:
        yield log
    finally:
        log.close(_LAST_LINES_SECONDS)


def serve(settings: Settings, systemd: Systemd, log: LogWriter) -> None:
    """Serve until SIGTERM or SIGINT."""
    # Until the loop takes over, a signal unwinds what was started.
    for number in _stop_signals():
        signal.signal(number, _exit)
    if signal.SIGHUP not in _stop_signals():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # there is nothing to read again yet
    keys = signing_keys(settings)
    certificate = _certificate(settings)
    with postgres(settings) as dsn, asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(_serve(settings, systemd, keys, certificate, dsn, log=log))


def signing_keys(settings: Settings) -> Sequence[str]:
    """Return the signing keys, newest first, from the settings or from the keys file."""
    if settings.tokens.keys:
        return [key.get_secret_value() for key in settings.tokens.keys]
    if settings.tokens.keys_file is None:
        raise StartError("there is no signing key: set SECRET_KEYS or tokens.keys_file.")
    if settings.profile is Profile.PRODUCTION:
        return _read_good_keys(settings, settings.tokens.keys_file)
    return read_or_create_keys(settings.tokens.keys_file)


def _keys_file(settings: Settings) -> KeysFile | None:
    """Return the file that the signing keys come from, if they come from one."""
    file = settings.tokens.keys_file
    if settings.tokens.keys or file is None:
        return None
    return KeysFile(file, partial(_read_good_keys, settings))


def _read_good_keys(settings: Settings, file: Path) -> tuple[str, ...]:
    """Return the keys in a file; in production they are held to what keys of the settings are."""
    keys = read_keys(file)
    if settings.profile is Profile.PRODUCTION:
        if any(map(is_guessable, keys)):
            raise KeysFileError(f"{file} holds a key that can be guessed; {HOW_TO_MAKE_A_KEY}")
        if {pepper.get_secret_value() for pepper in settings.passwords.pepper} & set(keys):
            raise KeysFileError(f"{file} holds a key that passwords.pepper holds as well.")
    return keys


def _certificate(settings: Settings) -> Certificate | None:
    certificate, private_key = settings.server.certificate, settings.server.private_key
    if certificate is None or private_key is None:
        return None
    return Certificate(certificate, private_key)


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
    settings: Settings,
    keys: Sequence[str],
    dsn: str,
    clock: Callable[[], float] | None = None,
    *,
    wall: Callable[[], float] = time.time,
    log: LogWriter | None = None,
) -> AsyncIterator[Application]:
    """Build the application on a database with the schema in it, and release it after use.

    ``clock`` returns UTC seconds; without one the time is that of Postgres, and ``wall``, that of
    this host, is compared with it. ``log`` is where it writes of each request; one to standard
    error, if none is given.
    """
    metrics = (
        Metrics(version=_version(), problems=(kind.name for kind in problem_types()))
        if settings.metrics.port
        else None
    )
    async with (
        open_database(settings, dsn, metrics=metrics) as database,
        AsyncExitStack() as stack,
    ):
        await _tell_risks(database)
        postgres_clock = await measured_clock(database, wall)
        comparing = PeriodicTask("clocks are not compared", postgres_clock.measure)
        stack.push_async_callback(comparing.close)
        if metrics is not None:
            metrics.watch_clock(postgres_clock)
        host_clock, clock = clock or wall, clock or postgres_clock
        services = await stack.enter_async_context(
            open_services(settings, keys, database, clock, metrics)
        )
        # What was noted is written at the end, too, but an end waits for no database.
        stack.push_async_callback(_last_write, "uses of tokens", services.usage.write)
        stack.push_async_callback(_last_write, "failures", services.audit.write_all_counted)
        counting = PeriodicTask("counted failures are not written", services.audit.write_counted)
        stack.push_async_callback(counting.close)
        writing = PeriodicTask("token uses are not written", services.usage.write)
        stack.push_async_callback(writing.close)
        housekeeping = Housekeeping(
            database,
            clock=clock,
            keep=RetentionPolicy(
                expired_days=settings.tokens.keep_expired_days,
                event_days=settings.audit.keep_days,
                count_seconds=settings.throttle.forget_seconds
                + settings.throttle.longest_delay_seconds,
            ),
        )
        removing = PeriodicTask("what is over is not removed", housekeeping.remove)
        stack.push_async_callback(removing.close)
        with suppress(DatabaseUnavailable):  # it is looked for again
            await services.hash_kinds.find()
        measuring = PeriodicTask("kinds of hashes are not measured", services.hash_kinds.measure)
        stack.push_async_callback(measuring.close)
        if log is None:
            log = stack.enter_context(_log(settings))
        lines = RequestLog(log, host_clock, _dumps)
        stack.callback(lines.flush)
        request_log = stack.enter_context(_traced(lines, host_clock))
        application = Application(
            services=services,
            request_log=request_log,
            addresses=ClientAddresses(settings.server.trusted_proxies),
            cross_origin=CrossOrigin(settings.cors.origins),
            require_https=settings.server.require_https,
            max_body_bytes=settings.limits.max_body_bytes,
            metrics=metrics,
            static_documents=static_documents(settings) if settings.docs.enabled else {},
        )
        if metrics is not None:
            metrics.watch_requests(application)
            metrics.watch_log(log)
        yield application


@contextmanager
def _traced(log: RequestEvents, clock: Callable[[], float]) -> Iterator[RequestEvents]:
    """Send requests to a collector of OpenTelemetry as well, where the environment names one."""
    tracing = _find_tracing()
    if tracing is None:
        yield log
        return
    service = os.environ.get("OTEL_SERVICE_NAME") or "userauth"
    traced = tracing(log, clock, service, _version())
    try:
        yield traced
    finally:
        traced.close()


def _find_tracing() -> "type[TracedRequests] | None":
    """Return what sends requests to a collector, where the environment names one."""
    # Where OpenTelemetry looks itself.
    if not any(os.environ.get(name) for name in _COLLECTOR):
        return None
    try:
        from ops.traces import TracedRequests  # noqa: PLC0415 - its packages need not be there
    except ImportError:
        raise StartError(
            f"{_COLLECTOR[0]} is set, and OpenTelemetry is not installed:"
            " pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http."
        ) from None
    return TracedRequests


def static_documents(settings: Settings) -> Mapping[str, StaticDocument]:
    """Return what is published of the API, which is one with this program and its settings."""
    terms = DocumentOptions(
        min_password_length=settings.passwords.min_length,
        refuse_common_passwords=settings.passwords.refuse_common,
        current_password_required=settings.passwords.current_required,
        max_body_bytes=settings.limits.max_body_bytes,
    )
    document = openapi_document(routes, terms, version=_version())
    try:
        return read_static_documents(ROOT, encode(document))
    except OSError as error:
        raise StartError(f"a file of the page at /docs cannot be read: {error}") from error


@cache
def _version() -> str:
    """Return the version of this program."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


@asynccontextmanager
async def open_services(
    settings: Settings,
    keys: Sequence[str],
    database: Database,
    clock: Callable[[], float],
    metrics: Metrics | None = None,
    *,
    administration: LocalOrigin | None = None,
) -> AsyncIterator[Services]:
    """Build the services on a database, and release what they hold after use.

    ``administration`` is who uses those of an administrator.
    """
    administration = administration or LocalOrigin()
    async with AsyncExitStack() as stack:
        scheme = PasswordScheme(
            cost=settings.passwords.bcrypt_cost,
            peppers=[pepper.get_secret_value() for pepper in settings.passwords.pepper],
        )
        queue = HashQueue(
            workers=settings.passwords.workers,
            max_wait_seconds=settings.passwords.max_wait_seconds,
            seconds_each=scheme.estimate_seconds(),
            max_per_account=settings.passwords.max_per_account,
            observe_wait=metrics.hash_waited if metrics else None,
            observe_hash=metrics.hashed if metrics else None,
        )
        hasher = PasswordHasher(scheme, queue, imported_hashes.read)
        stack.callback(hasher.close)
        lookups = open_lookups(database, metrics.lookup) if metrics else open_lookups(database)
        stack.push_async_callback(lookups.close)
        digests = await _digests(database)
        remembered = PasswordCache(settings.passwords.remember_seconds, time.monotonic)
        forgetting = PeriodicTask("old passwords are not forgotten", remembered.sweep)
        stack.push_async_callback(forgetting.close)
        usage = TokenUsage(database, clock)
        keys_file = _keys_file(settings)
        signer = TokenSigner(keys, clock, keys_file.read_changed if keys_file else lambda: None)
        audit = AuditTrail(database, digests, clock)
        token_counts = TokenCounts()
        throttle = Throttle(
            database=database,
            lookups=lookups,
            digests=digests,
            limits=_throttle_limits(settings),
        )
        hashes = Budget(settings.throttle.hashes_per_minute, time.monotonic)
        writes = WriteTurns(
            Budget(settings.throttle.writes_per_minute, time.monotonic),
            Budget(_CREDENTIALS_AT_A_TIME * settings.throttle.writes_per_minute, time.monotonic),
            settings.database.acquire_timeout_seconds,
        )
        reservations = Reservations(digests, quarantine_days=settings.registration.quarantine_days)
        identities = Identities(
            lookups=lookups,
            hasher=hasher,
            remembered=remembered,
            signer=signer,
            usage=usage,
            throttle=throttle,
            hashes=hashes,
            audit=audit,
        )
        confirmation = Confirmation(identities, required=settings.passwords.current_required)
        rules = PasswordRules(
            min_length=settings.passwords.min_length,
            refuse_common=settings.passwords.refuse_common,
            service_words=settings.passwords.service_words,
        )
        accounts = Accounts(
            database=database,
            lookups=lookups,
            identities=identities,
            hasher=hasher,
            rules=rules,
            throttle=throttle,
            hashes=hashes,
            writes=writes,
            audit=audit,
            reservations=reservations,
            clock=clock,
            confirmation=confirmation,
            counts=token_counts,
        )
        sessions = Sessions(
            database=database,
            lookups=lookups,
            identities=identities,
            confirmation=confirmation,
            hasher=hasher,
            signer=signer,
            usage=usage,
            writes=writes,
            audit=audit,
            clock=clock,
            lifetime_seconds=settings.tokens.lifetime_seconds,
            max_per_user=settings.tokens.max_per_user,
            counts=token_counts,
        )
        clients = Clients(
            database=database,
            lookups=lookups,
            throttle=throttle,
            audit=audit,
            administration=administration,
        )
        users = Users(
            database=database,
            hasher=hasher,
            rules=rules,
            throttle=throttle,
            audit=audit,
            reservations=reservations,
            administration=administration,
            clock=clock,
        )
        if metrics is not None:
            metrics.watch(
                Sources(
                    queue=hasher.queue,
                    pool=database,
                    tokens=token_counts,
                    events=audit.counts,
                    lookup_failures=lambda: lookups.failures,
                )
            )
        yield Services(
            identities=identities,
            accounts=accounts,
            sessions=sessions,
            clients=clients,
            signer=signer,
            keys_file=keys_file,
            usage=usage,
            throttle=throttle,
            audit=audit,
            users=users,
            transfer=Transfer(
                database=database,
                hasher=hasher,
                audit=audit,
                reservations=reservations,
                administration=administration,
                clock=clock,
            ),
            hash_kinds=HashKinds(database, hasher),
        )


def _throttle_limits(settings: Settings) -> ThrottleLimits:
    values = settings.throttle.model_dump()
    return ThrottleLimits(**{each.name: values[each.name] for each in fields(ThrottleLimits)})


@asynccontextmanager
async def open_database(
    settings: Settings, dsn: str, *, may_migrate: bool = True, metrics: Metrics | None = None
) -> AsyncIterator[Database]:
    """Connect to the database, bring the schema into it, and disconnect after use."""
    database = await _connect(settings, dsn, metrics)
    try:
        await _apply_schema(database, may_migrate=may_migrate)
        yield database
    finally:
        await database.close()


async def _connect(settings: Settings, dsn: str, metrics: Metrics | None) -> Database:
    with _start_errors():
        return await Database.open(dsn, _pool_limits(settings), metrics.lent if metrics else None)


def _pool_limits(settings: Settings) -> PoolLimits:
    return PoolLimits(
        settings.database.pool_min,
        settings.database.pool_max,
        settings.database.acquire_timeout_seconds,
        settings.database.query_timeout_seconds,
    )


async def _apply_schema(database: Database, *, may_migrate: bool) -> None:
    with _start_errors():
        await apply_schema(database, read_schema(), may_migrate=may_migrate)


def read_schema() -> str:
    """Return the text of schema.sql."""
    return (ROOT / "schema.sql").read_text(encoding="utf-8")


@contextmanager
def _start_errors() -> Iterator[None]:
    """Say what the operator should do about a database that cannot be used."""
    try:
        yield
    except DatabaseError as error:
        raise StartError(_advice(error)) from error


def _advice(error: DatabaseError) -> str:
    if isinstance(error, SchemaError):
        return str(error)
    if isinstance(error, ReadOnly):
        return f"Postgres cannot be used ({error}): name the primary in DATABASE_URL."
    if isinstance(error, Unavailable):
        return f"Postgres does not answer ({error}): check DATABASE_URL."
    return (
        f"Postgres refuses to serve ({error}): check the options in DATABASE_URL, and that its role"
        " may create tables."
    )


async def measured_clock(
    database: Database, wall: Callable[[], float] = time.time
) -> PostgresClock:
    """Return the clock of Postgres."""
    clock = PostgresClock(database, wall=wall)
    with _start_errors():
        await clock.measure()
    return clock


async def _tell_risks(database: Database) -> None:
    with _start_errors():
        async with database.connection() as connection:
            risks = await find_risks(connection)
    for risk in risks:
        logging.getLogger(SERVER).warning("%s", risk)


async def _digests(database: Database) -> Digests:
    with _start_errors():
        async with database.connection() as connection:
            return Digests(await get_digest_key(connection))


async def _last_write(what: str, write: Callable[[], Awaitable[object]]) -> None:
    try:
        async with asyncio.timeout(_LAST_WRITE_SECONDS):
            await write()
    except (DatabaseError, DatabaseUnavailable, TimeoutError) as error:
        logging.getLogger(SERVER).warning("the last %s are not written: %r", what, error)


async def _serve(
    settings: Settings,
    systemd: Systemd,
    keys: Sequence[str],
    certificate: Certificate | None,
    dsn: str,
    *,
    log: LogWriter,
) -> None:
    with _told_to_stop() as told_to_stop:
        async with AsyncExitStack() as stack:
            opening = asyncio.ensure_future(
                stack.enter_async_context(open_application(settings, keys, dsn, log=log))
            )
            stopping = asyncio.ensure_future(told_to_stop.wait())
            await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                opening.cancel()
                return
            application = opening.result()
            metrics_server = _listen_for_metrics(application.metrics, settings)
            if metrics_server is not None:
                stack.push_async_callback(metrics_server.close)
            server = Server(application, settings.limits, certificate)
            greeting = _greeting(settings, _listen(server, settings, systemd.sockets))
            if signal.SIGHUP not in _stop_signals():
                reload = partial(_reload, application, certificate, systemd, greeting)
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
            watch = LagWatch(
                settings.server.lag_warning_seconds,
                application.metrics.lagged if application.metrics else None,
            )
            freeze_gc()
            print(greeting, flush=True)
            systemd.ready(greeting)
            await stopping
            application.draining = True
            # A beat after this would have systemd expect more of them, while Postgres is stopped.
            systemd.close()
            systemd.stopping(
                f"userauth ends: {application.running} requests are running",
                most_seconds=_most_seconds_to_stop(settings),
            )
            await server.drain(
                drain_delay_seconds=settings.server.drain_delay_seconds,
                drain_seconds=settings.server.drain_seconds,
            )
            watch.close()


def _most_seconds_to_stop(settings: Settings) -> float:
    drain = settings.server.drain_delay_seconds + settings.server.drain_seconds
    last = 2 * _LAST_WRITE_SECONDS + _LAST_LINES_SECONDS
    return drain + last + LOCK_SECONDS + STOP_SECONDS + _OTHER_STOP_SECONDS


def _reload(
    application: Application, certificate: Certificate | None, systemd: Systemd, greeting: str
) -> None:
    """Read again what may change while the server runs: keys and certificate."""
    if application.draining:
        return
    systemd.reloading()
    try:
        if certificate is None or application.services.keys_file is not None:
            _reload_keys(application.services)
        if certificate is not None:
            _reload_certificate(certificate)
    finally:
        systemd.ready(greeting)


def _reload_keys(services: Services) -> None:
    """Read the keys file again; where it is faulty, go on with the keys that there are."""
    log = logging.getLogger(SERVER)
    if services.keys_file is None:
        log.warning("SIGHUP: the keys come from SECRET_KEYS, which only a restart reads again")
        return
    try:
        keys = services.keys_file.read()
    except KeysFileError as error:
        log.error("SIGHUP: %s The old keys stay.", error)  # noqa: TRY400 - the reason says it all
        return
    services.signer.use(keys)
    log.info("SIGHUP: %d signing keys read, the newest is %s", len(keys), services.signer.key_id)


def _reload_certificate(certificate: Certificate) -> None:
    """Read the certificate again; where it is faulty, go on with the one that there is."""
    log = logging.getLogger(SERVER)
    try:
        certificate.reload()
    except CertificateError as error:
        log.error("SIGHUP: %s The old certificate stays.", error)  # noqa: TRY400 - says it all
        return
    log.info("SIGHUP: the certificate was read")


def _stop_signals() -> tuple[signal.Signals, ...]:
    """Return what ends the server; in a terminal, that the terminal is closed does too."""
    is_in_terminal = sys.stdin is not None and sys.stdin.isatty()
    usual = (signal.SIGTERM, signal.SIGINT)
    return (*usual, signal.SIGHUP) if is_in_terminal else usual


@contextmanager
def _told_to_stop() -> Iterator[asyncio.Event]:
    """Yield the event that the signals set; after it, they do nothing any more."""
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _stop_signals():
        loop.add_signal_handler(number, told_to_stop.set)
    try:
        yield told_to_stop
    finally:
        for number in _stop_signals():
            loop.remove_signal_handler(number)
            # An impatient second one must not kill the stop of the embedded Postgres.
            signal.signal(number, signal.SIG_IGN)


def _listen(
    server: Server, settings: Settings, inherited: Sequence[socket.socket]
) -> tuple[str, int]:
    """Listen, and return at which host and port; those of the settings are for want of others."""
    if inherited:
        server.listen_at(inherited)
        name = inherited[0].getsockname()
        return name[0], name[1]
    host, port = settings.server.host, settings.server.port
    try:
        return host, server.listen(host, port)
    except (OSError, UnicodeError) as error:
        raise StartError(
            f"it cannot listen on {host} port {port} ({error}): set HOST or PORT."
        ) from error


def _listen_for_metrics(metrics: Metrics | None, settings: Settings) -> MetricsServer | None:
    if metrics is None:
        return None
    host, port = settings.metrics.host, settings.metrics.port
    server = MetricsServer(metrics)
    try:
        server.listen(host, port)
    except (OSError, UnicodeError) as error:
        raise StartError(
            f"it cannot listen on {host} port {port} for /metrics ({error}):"
            " set metrics.host or metrics.port."
        ) from error
    return server


def _dumps(event: object, **_: object) -> str:
    return to_json(event).decode()


def _greeting(settings: Settings, listening: tuple[str, int]) -> str:
    host, port = listening
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if settings.server.certificate is None else "https"
    data = place_of_data(settings)
    return f"userauth ({settings.profile}) serves {scheme}://{shown}:{port}, data in {data}"


def place_of_data(settings: Settings) -> str:
    """Return where the database is, without who asks and by which password."""
    database = settings.database
    if database.is_embedded:
        return str(database.embedded_dir)
    return describe(database.url.get_secret_value())


def _exit(_number: int, _frame: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

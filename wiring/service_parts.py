"""The parts that the services of the server and those of commands are built from."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from db.lookups import open_lookups
from db.pool import Database
from ops.metrics import Metrics
from rules.account_rules import AccountRules
from rules.digests import Digests
from rules.passwords import PasswordHasher
from services.audit import AuditTrail
from services.core import Core
from services.reservations import Reservations
from services.throttle import Throttle
from settings import Settings
from wiring.database import read_digests
from wiring.metrics import watch_services
from wiring.passwords import account_rules, open_hasher


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that the services of the server and those of commands are built from."""

    core: Core
    hasher: PasswordHasher
    rules: AccountRules
    throttle: Throttle
    reservations: Reservations
    digests: Digests


@asynccontextmanager
async def open_parts(
    settings: Settings,
    database: Database,
    clock: Callable[[], float],
    metrics: Metrics | None = None,
) -> AsyncIterator[Parts]:
    """Build the parts on a database, and close them after use."""
    async with AsyncExitStack() as stack:
        hasher = open_hasher(settings, metrics)
        stack.callback(hasher.close)
        acknowledged = settings.database.acknowledges_reads
        observer = metrics.lookup if metrics else None
        lookups = open_lookups(database, observer, acknowledged=acknowledged)
        stack.push_async_callback(lookups.close)
        digests = await read_digests(database)
        limits, days = settings.throttle, settings.registration.quarantine_days
        core = Core(database, lookups, AuditTrail(database, digests, clock), clock)
        if metrics is not None:
            watch_services(metrics, core, hasher.queue)
        yield Parts(
            core=core,
            hasher=hasher,
            rules=account_rules(settings),
            throttle=Throttle(database=database, lookups=lookups, digests=digests, limits=limits),
            reservations=Reservations(digests, quarantine_days=days),
            digests=digests,
        )

"""The services: everything that handlers and commands call, built on one database."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields

from db.lookups import open_lookups
from db.pool import Database
from ops.metrics import Metrics, Sources
from ops.periodic import PeriodicTask
from rules import imported_hashes
from rules.budget import Budget
from rules.hash_budget import HashBudget
from rules.hash_queue import HashQueue
from rules.origin import LocalOrigin
from rules.password_cache import PasswordCache
from rules.password_rules import PasswordRules
from rules.password_scheme import PasswordScheme
from rules.passwords import PasswordHasher
from rules.tokens import TokenSigner
from rules.write_turns import WriteTurns
from services.accounts import Accounts
from services.administration import Administration
from services.all_services import Services
from services.audit import AuditTrail
from services.clients import Clients
from services.confirmation import Confirmation
from services.hash_kinds import HashKinds
from services.identities import Identities
from services.readiness import Readiness
from services.reservations import Reservations
from services.throttle import Throttle, ThrottleLimits
from services.tokens import Tokens
from services.transfer import Transfer
from services.usage import TokenUsage
from services.user_writes import UserWrites
from settings import Settings
from wiring.database import read_digests
from wiring.secrets import keys_file

# By how many credentials a user may use up their budgets of writes at a time.
_CREDENTIALS_AT_A_TIME = 10


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
        digests = await read_digests(database)
        password_cache = PasswordCache(settings.passwords.remember_seconds, time.monotonic)
        forgetting = PeriodicTask("password cache sweep failed", password_cache.sweep)
        stack.push_async_callback(forgetting.close)
        usage = TokenUsage(database, clock)
        file = keys_file(settings)
        signer = TokenSigner(keys, clock, file.read_changed if file else lambda: None)
        audit = AuditTrail(database, digests, clock)
        throttle = Throttle(
            database=database,
            lookups=lookups,
            digests=digests,
            limits=_throttle_limits(settings),
        )
        hashes = HashBudget(Budget(settings.throttle.hashes_per_minute, time.monotonic))
        turns = WriteTurns(
            Budget(settings.throttle.writes_per_minute, time.monotonic),
            Budget(_CREDENTIALS_AT_A_TIME * settings.throttle.writes_per_minute, time.monotonic),
            settings.database.acquire_timeout_seconds,
        )
        writes = UserWrites(database, turns)
        reservations = Reservations(digests, quarantine_days=settings.registration.quarantine_days)
        identities = Identities(
            lookups=lookups,
            hasher=hasher,
            password_cache=password_cache,
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
            hasher=hasher,
            rules=rules,
            throttle=throttle,
            hashes=hashes,
            writes=writes,
            audit=audit,
            reservations=reservations,
            clock=clock,
            confirmation=confirmation,
        )
        tokens = Tokens(
            database=database,
            lookups=lookups,
            confirmation=confirmation,
            hasher=hasher,
            signer=signer,
            usage=usage,
            writes=writes,
            audit=audit,
            clock=clock,
            lifetime_seconds=settings.tokens.lifetime_seconds,
            max_per_user=settings.tokens.max_per_user,
        )
        clients = Clients(
            database=database,
            lookups=lookups,
            throttle=throttle,
            audit=audit,
            administration=administration,
        )
        administrator = Administration(
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
                    tokens=audit.counts,
                    events=audit.counts.events,
                    lookup_failures=lambda: lookups.failures,
                )
            )
        yield Services(
            identities=identities,
            accounts=accounts,
            tokens=tokens,
            clients=clients,
            signer=signer,
            keys_file=file,
            usage=usage,
            throttle=throttle,
            audit=audit,
            administration=administrator,
            transfer=Transfer(
                database=database,
                hasher=hasher,
                audit=audit,
                reservations=reservations,
                administration=administration,
                clock=clock,
            ),
            hash_kinds=HashKinds(database, hasher),
            hash_queue=queue,
            readiness=Readiness(lookups),
        )


def _throttle_limits(settings: Settings) -> ThrottleLimits:
    values = settings.throttle.model_dump()
    return ThrottleLimits(**{each.name: values[each.name] for each in fields(ThrottleLimits)})

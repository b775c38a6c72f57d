"""The services: what handlers and commands call, built on one database."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial

from db.lookups import open_lookups
from db.pool import Database
from ops.metrics import Metrics
from rules.account_rules import AccountRules
from rules.budget import Budget
from rules.digests import Digests
from rules.hash_budget import HashBudget
from rules.origin import LocalOrigin
from rules.password_cache import PasswordCache
from rules.passwords import PasswordHasher
from rules.tokens import TokenSigner, key_id
from rules.write_turns import WriteTurns
from services.account_links import AccountLinks
from services.accounts import Accounts
from services.administration import Administration
from services.all_services import AdministrationServices, Services
from services.audit import AuditTrail
from services.clients import Clients
from services.confirmation import Confirmation
from services.core import Core
from services.email_change import EmailChange
from services.email_undo import EmailUndo
from services.event_stream import EventStream
from services.hash_kinds import HashKinds
from services.identities import Identities
from services.login_diagnosis import LoginDiagnoses
from services.mail_administration import MailAdministration
from services.new_users import NewUsers
from services.outbox import Outbox
from services.password_reset import PasswordReset
from services.proofs import Proofs
from services.readiness import Readiness
from services.registration import Registration
from services.reservations import Reservations
from services.signing_keys import SigningKeys
from services.throttle import Throttle
from services.throttle_subjects import SubjectNames
from services.tokens import Tokens
from services.transfer import Transfer
from services.usage import TokenUsage
from services.user_writes import UserWrites
from services.verification import EmailVerification
from services.wait_administration import WaitAdministration
from services.waits import Waits
from settings import Settings
from settings.choices import Verification
from wiring.database import read_digests
from wiring.metrics import watch_services
from wiring.passwords import account_rules, open_cache, open_hasher
from wiring.secrets import keys_file, links_origin, signing_keys

# A user has the write budgets of this many credentials.
_CREDENTIALS_AT_A_TIME = 10


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the services of the server and those of commands are built from."""

    core: Core
    hasher: PasswordHasher
    rules: AccountRules
    throttle: Throttle
    reservations: Reservations
    digests: Digests


@dataclass(frozen=True, slots=True)
class _ServerParts:
    """What the services of the server alone are built from."""

    signer: TokenSigner
    usage: TokenUsage
    identities: Identities
    confirmation: Confirmation
    hashes: HashBudget
    writes: UserWrites


@dataclass(frozen=True, slots=True)
class _MailParts:
    """What messages need."""

    outbox: Outbox
    proofs: Proofs


@asynccontextmanager
async def open_services(
    settings: Settings,
    keys: Sequence[str],
    database: Database,
    clock: Callable[[], float],
    metrics: Metrics | None = None,
    *,
    wake: Callable[[], None] = lambda: None,
) -> AsyncIterator[Services]:
    """Build the services of the server on a database, and close them after use."""
    async with (
        _open_parts(settings, database, clock, metrics) as parts,
        open_cache(settings) as cache,
    ):
        file = keys_file(settings)
        signer = TokenSigner(keys, clock, file.read_changed if file else lambda: None)
        server = _server_parts(settings, parts, cache, signer)
        if metrics is not None:
            watch_services(metrics, parts.core, parts.hasher.queue)
        mail = _mail(settings, parts, signer, wake)
        yield Services(
            identities=server.identities,
            registration=_registration(settings, parts, server, mail),
            accounts=_accounts(parts, server, mail),
            tokens=_tokens(settings, parts, server, mail),
            clients=Clients(parts.core, parts.throttle, LocalOrigin()),
            signer=signer,
            keys_file=file,
            usage=server.usage,
            audit=parts.core.audit,
            hash_kinds=HashKinds(database, parts.hasher),
            hash_queue=parts.hasher.queue,
            readiness=Readiness(parts.core.lookups),
            outbox=mail.outbox,
            verification=EmailVerification(
                parts.core, writes=server.writes, outbox=mail.outbox, proofs=mail.proofs
            ),
            password_reset=_password_reset(parts, server, mail),
            email_change=_email_change(parts, server, mail),
            email_undo=EmailUndo(
                parts.core,
                throttle=parts.throttle,
                hasher=parts.hasher,
                outbox=mail.outbox,
                proofs=mail.proofs,
            ),
        )


@asynccontextmanager
async def open_administration(
    settings: Settings, database: Database, clock: Callable[[], float], origin: LocalOrigin
) -> AsyncIterator[AdministrationServices]:
    """Build the services of commands on a database, and close them after use.

    Nothing but the command runs: threads that hash, and the connections of lookups, start when
    they are first used.
    """
    async with _open_parts(settings, database, clock) as parts:
        core, hasher, reservations = parts.core, parts.hasher, parts.reservations
        newest = cache(partial(_newest_key, settings))
        outbox = Outbox(
            core,
            parts.digests,
            settings.mail,
            key_id=lambda: key_id(newest()),
            wake=lambda: None,
        )
        waits = Waits(core, SubjectNames(parts.digests), settings.throttle)
        yield AdministrationServices(
            users=Administration(
                core,
                hasher=hasher,
                rules=parts.rules,
                throttle=parts.throttle,
                reservations=reservations,
                waits=waits,
                outbox=outbox,
                origin=origin,
            ),
            account_links=AccountLinks(
                core,
                scheme=hasher.scheme,
                new_users=NewUsers(core, parts.rules, parts.throttle, reservations),
                outbox=outbox,
                signing_key=newest,
                links_origin=partial(links_origin, settings),
                origin=origin,
            ),
            clients=Clients(core, parts.throttle, origin),
            signing_keys=SigningKeys(core, origin),
            transfer=_transfer(parts, origin),
            audit=core.audit,
            event_stream=EventStream(database),
            waits=WaitAdministration(core, waits, origin),
            mail=MailAdministration(core, parts.digests, origin),
            logins=LoginDiagnoses(core, waits, reservations, origin),
        )


def _newest_key(settings: Settings) -> str:
    """Return the key that messages are signed with: no other command needs the keys."""
    return signing_keys(settings)[0]


def _transfer(parts: _Parts, origin: LocalOrigin) -> Transfer:
    return Transfer(
        parts.core,
        hasher=parts.hasher,
        rules=parts.rules,
        reservations=parts.reservations,
        origin=origin,
    )


@asynccontextmanager
async def _open_parts(
    settings: Settings,
    database: Database,
    clock: Callable[[], float],
    metrics: Metrics | None = None,
) -> AsyncIterator[_Parts]:
    async with AsyncExitStack() as stack:
        hasher = open_hasher(settings, metrics)
        stack.callback(hasher.close)
        lookups = open_lookups(database, metrics.lookup) if metrics else open_lookups(database)
        stack.push_async_callback(lookups.close)
        digests = await read_digests(database)
        limits, days = settings.throttle, settings.registration.quarantine_days
        yield _Parts(
            core=Core(database, lookups, AuditTrail(database, digests, clock), clock),
            hasher=hasher,
            rules=account_rules(settings),
            throttle=Throttle(database=database, lookups=lookups, digests=digests, limits=limits),
            reservations=Reservations(digests, quarantine_days=days),
            digests=digests,
        )


def _server_parts(
    settings: Settings, parts: _Parts, cache: PasswordCache, signer: TokenSigner
) -> _ServerParts:
    usage = TokenUsage(parts.core.database, parts.core.clock)
    hashes = HashBudget(parts.hasher, Budget(settings.throttle.hashes_per_minute, time.monotonic))
    identities = Identities(
        parts.core,
        password_cache=cache,
        signer=signer,
        usage=usage,
        throttle=parts.throttle,
        hashes=hashes,
        requires_verified=settings.registration.verification is Verification.REQUIRED,
    )
    return _ServerParts(
        signer=signer,
        usage=usage,
        identities=identities,
        confirmation=Confirmation(identities, required=settings.passwords.current_required),
        hashes=hashes,
        writes=UserWrites(parts.core.database, _write_turns(settings)),
    )


def _mail(
    settings: Settings, parts: _Parts, signer: TokenSigner, wake: Callable[[], None]
) -> _MailParts:
    outbox = Outbox(
        parts.core, parts.digests, settings.mail, key_id=lambda: signer.key_id, wake=wake
    )
    return _MailParts(outbox, Proofs(parts.core, parts.throttle, signer.find_key))


def _password_reset(parts: _Parts, server: _ServerParts, mail: _MailParts) -> PasswordReset:
    return PasswordReset(
        parts.core,
        rules=parts.rules,
        throttle=parts.throttle,
        hashes=server.hashes,
        outbox=mail.outbox,
        proofs=mail.proofs,
    )


def _email_change(parts: _Parts, server: _ServerParts, mail: _MailParts) -> EmailChange:
    return EmailChange(
        parts.core,
        rules=parts.rules,
        throttle=parts.throttle,
        writes=server.writes,
        confirmation=server.confirmation,
        reservations=parts.reservations,
        outbox=mail.outbox,
        proofs=mail.proofs,
    )


def _write_turns(settings: Settings) -> WriteTurns:
    per_minute = settings.throttle.writes_per_minute
    return WriteTurns(
        Budget(per_minute, time.monotonic),
        Budget(_CREDENTIALS_AT_A_TIME * per_minute, time.monotonic),
        settings.database.acquire_timeout_seconds,
    )


def _registration(
    settings: Settings, parts: _Parts, server: _ServerParts, mail: _MailParts
) -> Registration:
    return Registration(
        parts.core,
        rules=parts.rules,
        throttle=parts.throttle,
        hashes=server.hashes,
        reservations=parts.reservations,
        outbox=mail.outbox,
        settings=settings.registration,
    )


def _accounts(parts: _Parts, server: _ServerParts, mail: _MailParts) -> Accounts:
    return Accounts(
        parts.core,
        confirmation=server.confirmation,
        rules=parts.rules,
        throttle=parts.throttle,
        hashes=server.hashes,
        writes=server.writes,
        reservations=parts.reservations,
        outbox=mail.outbox,
    )


def _tokens(settings: Settings, parts: _Parts, server: _ServerParts, mail: _MailParts) -> Tokens:
    return Tokens(
        parts.core,
        confirmation=server.confirmation,
        hasher=parts.hasher,
        signer=server.signer,
        usage=server.usage,
        writes=server.writes,
        outbox=mail.outbox,
        limits=settings.tokens,
    )

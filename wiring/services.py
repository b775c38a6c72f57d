"""The services of the server, which handlers call, built on one database."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from db.pool import Database
from ops.metrics import Metrics
from rules.budget import Budget
from rules.hash_budget import HashBudget
from rules.keys import KeysFile
from rules.origin import LocalOrigin
from rules.password_cache import PasswordCache
from rules.tokens import TokenSigner
from services.accounts import Accounts
from services.address_proofs import AddressProofs
from services.all_services import Services
from services.clients import Clients
from services.confirmation import Confirmation
from services.core import Core
from services.email_change import EmailChange
from services.email_undo import EmailUndo
from services.hash_kinds import HashKinds
from services.identities import Identities
from services.logins import Logins
from services.outbox import Outbox
from services.password_reset import PasswordReset
from services.peers import Peers
from services.proofs import Proofs
from services.readiness import Readiness
from services.registration import Registration
from services.sessions import Sessions
from services.tokens import Tokens
from services.usage import TokenUsage
from services.user_writes import UserWrites
from services.verification import EmailVerification
from settings import Settings
from settings.choices import Verification
from wiring.passwords import open_cache
from wiring.secrets import keys_file
from wiring.service_parts import Parts, open_parts
from wiring.shared_settings import shared_digests
from wiring.write_turns import write_turns


@dataclass(frozen=True, slots=True)
class _ServerParts:
    """The parts that only the services of the server are built from."""

    signer: TokenSigner
    keys_file: KeysFile | None
    logins: Logins
    usage: TokenUsage
    identities: Identities
    confirmation: Confirmation
    hashes: HashBudget
    writes: UserWrites


@dataclass(frozen=True, slots=True)
class _MailParts:
    """The parts for services that send messages or verify proofs."""

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
    opened = open_parts(settings, database, clock, metrics)
    async with opened as parts, open_cache(settings) as cache:
        file = keys_file(settings)
        signer = TokenSigner(keys, clock, file.read_changed if file else lambda: None)
        server = _server_parts(settings, parts, cache, signer, file)
        mail = _mail(settings, parts, signer, wake)
        yield _services(settings, parts, server, mail)


def _services(settings: Settings, parts: Parts, server: _ServerParts, mail: _MailParts) -> Services:
    verification = _verification(parts, server, mail)
    email_change = _email_change(parts, server, mail)
    return Services(
        identities=server.identities,
        registration=_registration(settings, parts, server, mail),
        accounts=_accounts(parts, server, mail),
        tokens=_tokens(settings, parts, server, mail),
        sessions=_sessions(settings, parts, server),
        clients=Clients(parts.core, parts.throttle, LocalOrigin()),
        signer=server.signer,
        keys_file=server.keys_file,
        usage=server.usage,
        audit=parts.core.audit,
        hash_kinds=HashKinds(parts.core.database, parts.hasher),
        hash_queue=parts.hasher.queue,
        readiness=Readiness(parts.core.lookups),
        peers=_peers(settings, parts.core, server.signer),
        outbox=mail.outbox,
        verification=verification,
        password_reset=_password_reset(parts, server, mail),
        email_change=email_change,
        email_undo=_email_undo(parts, mail),
        address_proofs=AddressProofs(mail.proofs, verification=verification, change=email_change),
    )


def _peers(settings: Settings, core: Core, signer: TokenSigner) -> Peers:
    return Peers(core.database, core.clock, lambda: shared_digests(settings, signer.keys))


def _server_parts(
    settings: Settings,
    parts: Parts,
    cache: PasswordCache,
    signer: TokenSigner,
    file: KeysFile | None,
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
        keys_file=file,
        logins=Logins(parts.core, hasher=parts.hasher, signer=signer),
        usage=usage,
        identities=identities,
        confirmation=Confirmation(identities, required=settings.passwords.current_required),
        hashes=hashes,
        writes=UserWrites(parts.core.database, write_turns(settings)),
    )


def _mail(
    settings: Settings, parts: Parts, signer: TokenSigner, wake: Callable[[], None]
) -> _MailParts:
    outbox = Outbox(
        parts.core, parts.digests, settings.mail, key_id=lambda: signer.key_id, wake=wake
    )
    return _MailParts(outbox, Proofs(parts.core, parts.throttle, signer.find_key))


def _verification(parts: Parts, server: _ServerParts, mail: _MailParts) -> EmailVerification:
    return EmailVerification(
        parts.core, writes=server.writes, outbox=mail.outbox, proofs=mail.proofs
    )


def _email_undo(parts: Parts, mail: _MailParts) -> EmailUndo:
    return EmailUndo(
        parts.core,
        throttle=parts.throttle,
        hasher=parts.hasher,
        outbox=mail.outbox,
        proofs=mail.proofs,
    )


def _password_reset(parts: Parts, server: _ServerParts, mail: _MailParts) -> PasswordReset:
    return PasswordReset(
        parts.core,
        rules=parts.rules,
        throttle=parts.throttle,
        hashes=server.hashes,
        outbox=mail.outbox,
        proofs=mail.proofs,
    )


def _email_change(parts: Parts, server: _ServerParts, mail: _MailParts) -> EmailChange:
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


def _registration(
    settings: Settings, parts: Parts, server: _ServerParts, mail: _MailParts
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


def _accounts(parts: Parts, server: _ServerParts, mail: _MailParts) -> Accounts:
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


def _tokens(settings: Settings, parts: Parts, server: _ServerParts, mail: _MailParts) -> Tokens:
    return Tokens(
        parts.core,
        confirmation=server.confirmation,
        logins=server.logins,
        signer=server.signer,
        usage=server.usage,
        writes=server.writes,
        outbox=mail.outbox,
        limits=settings.tokens,
    )


def _sessions(settings: Settings, parts: Parts, server: _ServerParts) -> Sessions:
    return Sessions(
        parts.core,
        logins=server.logins,
        signer=server.signer,
        usage=server.usage,
        settings=settings.sessions,
    )

"""The services of commands, built on one database."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial

from db.pool import Database
from rules.origin import LocalOrigin
from rules.tokens import key_id
from services.account_links import AccountLinks
from services.administration import Administration
from services.all_services import AdministrationServices
from services.clients import Clients
from services.event_stream import EventStream
from services.login_diagnosis import LoginDiagnoses
from services.mail_administration import MailAdministration
from services.new_users import NewUsers
from services.outbox import Outbox
from services.signing_keys import SigningKeys
from services.throttle_subjects import SubjectNames
from services.transfer import Transfer
from services.wait_administration import WaitAdministration
from services.waits import Waits
from settings import Settings
from wiring.secrets import links_origin, signing_keys
from wiring.service_parts import Parts, open_parts


@asynccontextmanager
async def open_administration(
    settings: Settings, database: Database, clock: Callable[[], float], origin: LocalOrigin
) -> AsyncIterator[AdministrationServices]:
    """Build the services of commands on a database, and close them after use.

    Nothing else runs: threads that hash, and connections of lookups, start when they are first
    used.
    """
    async with open_parts(settings, database, clock) as parts:
        core = parts.core
        newest_key = cache(partial(_newest_key, settings))
        outbox = _outbox(settings, parts, newest_key)
        waits = Waits(core, SubjectNames(parts.digests), settings.throttle)
        yield AdministrationServices(
            users=_users(parts, waits, outbox, origin),
            account_links=_account_links(settings, parts, outbox, newest_key, origin),
            clients=Clients(core, parts.throttle, origin),
            signing_keys=SigningKeys(core, origin),
            transfer=_transfer(parts, origin),
            audit=core.audit,
            event_stream=EventStream(database),
            waits=WaitAdministration(core, waits, origin),
            mail=MailAdministration(core, parts.digests, origin),
            logins=LoginDiagnoses(core, waits, parts.reservations, origin),
        )


def _outbox(settings: Settings, parts: Parts, newest_key: Callable[[], str]) -> Outbox:
    """Return the outbox; the server sends the messages that commands store."""
    return Outbox(
        parts.core,
        parts.digests,
        settings.mail,
        key_id=lambda: key_id(newest_key()),
        wake=lambda: None,
    )


def _users(parts: Parts, waits: Waits, outbox: Outbox, origin: LocalOrigin) -> Administration:
    return Administration(
        parts.core,
        hasher=parts.hasher,
        rules=parts.rules,
        throttle=parts.throttle,
        reservations=parts.reservations,
        waits=waits,
        outbox=outbox,
        origin=origin,
    )


def _account_links(
    settings: Settings,
    parts: Parts,
    outbox: Outbox,
    newest_key: Callable[[], str],
    origin: LocalOrigin,
) -> AccountLinks:
    return AccountLinks(
        parts.core,
        scheme=parts.hasher.scheme,
        new_users=NewUsers(parts.core, parts.rules, parts.reservations),
        outbox=outbox,
        signing_key=newest_key,
        links_origin=partial(links_origin, settings),
        origin=origin,
    )


def _newest_key(settings: Settings) -> str:
    """Return the key that signs messages; other commands do not need the keys."""
    return signing_keys(settings)[0]


def _transfer(parts: Parts, origin: LocalOrigin) -> Transfer:
    return Transfer(
        parts.core,
        hasher=parts.hasher,
        rules=parts.rules,
        reservations=parts.reservations,
        origin=origin,
    )

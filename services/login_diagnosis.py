"""Why a user cannot log in, as far as the database shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Unpack

from db import users
from db.events import EventFilter
from db.pool import Connection
from db.rows import CountStateRow, EventRow, UserStateRow
from rules import emails
from rules.origin import LocalOrigin
from rules.similar_emails import one_slip_away
from rules.text_bounds import nfkc
from services.audit import About
from services.core import Core
from services.event_kinds import EventKind
from services.named_users import find_user, is_user_id
from services.reservations import Reservations
from services.throttle_subjects import CountKind
from services.transactions import connection_to
from services.waits import Wait, Waits

_MAX_SIMILAR = 5
_EVENTS = 5


@dataclass(frozen=True, slots=True)
class LoginDiagnosis:
    """The state that affects logins with an email address.

    ``similar`` are users whose email address differs by one slip, if no user has this one;
    ``reserved_until`` is when it becomes available after its user was deleted. ``account`` is the
    count of the account, ``waits`` are those from networks, ``next_waits`` are those that the next
    failure starts, ``possible_waits`` are those from networks that may be the user's.
    ``is_usual_network`` is whether the IP address of the user is in the usual network, None if
    either is not known.
    """

    user: UserStateRow | None = None
    similar: Sequence[UserStateRow] = ()
    reserved_until: datetime | None = None
    account: CountStateRow | None = None
    waits: Sequence[Wait] = ()
    next_waits: Sequence[Wait] = ()
    possible_waits: Sequence[Wait] = ()
    is_usual_network: bool | None = None
    failures: Sequence[EventRow] = ()
    last_login: EventRow | None = None


class LoginDiagnoses:
    """Finds out why users cannot log in, with an event for each access to personal data."""

    def __init__(
        self, core: Core, waits: Waits, reservations: Reservations, origin: LocalOrigin
    ) -> None:
        self._core = core
        self._waits = waits
        self._reservations = reservations
        self._origin = origin

    async def diagnose(self, email_or_id: str, ip: str | None) -> LoginDiagnosis:
        """Return what affects the logins of a user, from an IP address or from recent ones."""
        async with connection_to(self._core.database) as connection:
            user = await find_user(connection, email_or_id)
        if user is not None:
            return await self._diagnose(user, ip)
        # An id, or a text that is too long for an email address, has no key.
        key = "" if is_user_id(email_or_id) else emails.lookup_key(email_or_id)
        return await self._diagnose_unknown(key) if key else LoginDiagnosis()

    async def _diagnose(self, user: UserStateRow, ip: str | None) -> LoginDiagnosis:
        key = emails.email_key(user.email)
        async with connection_to(self._core.database) as connection:
            found = await self._waits.find_for(connection, key, ip)
            possible = [] if ip else await self._waits.find_possible(connection, key, found)
        account = next((each.count for each in found if each.kind is CountKind.ACCOUNT), None)
        networks = [each for each in found if each.kind is not CountKind.ACCOUNT]
        failures = await self._find_failures(key)
        logged_in = EventFilter(user_id=user.id, kind=EventKind.LOGGED_IN)
        logins = await self._core.audit.find(logged_in, limit=1)
        await self._record(EventKind.USER_READ, user_id=user.id, email_key=key)
        if possible:
            await self._record(EventKind.THROTTLE_READ)
        return LoginDiagnosis(
            user=user,
            account=account,
            waits=[each for each in networks if each.count.is_waiting],
            next_waits=[each for each in networks if not each.count.is_waiting],
            possible_waits=possible,
            is_usual_network=self._is_usual_network(account, ip),
            failures=failures,
            last_login=logins[0] if logins else None,
        )

    async def _diagnose_unknown(self, key: str) -> LoginDiagnosis:
        """Return what is known about an email address that no user has."""
        async with connection_to(self._core.database) as connection:
            similar = await _find_similar(connection, key)
            reserved = await self._reservations.find_end(connection, key)
        failures = await self._find_failures(key)
        if similar:
            await self._record(EventKind.USERS_LISTED)
        if failures or reserved:
            await self._record(EventKind.AUDIT_READ, email_key=key)
        return LoginDiagnosis(similar=similar, reserved_until=reserved, failures=failures)

    def _is_usual_network(self, account: CountStateRow | None, ip: str | None) -> bool | None:
        if ip is None or account is None or account.usual_network is None:
            return None
        return self._waits.is_usual_network(account, ip)

    async def _find_failures(self, key: str) -> list[EventRow]:
        digest = self._core.audit.email_digest(key)
        failed = EventFilter(email_digest=digest, outcome="failure")
        return await self._core.audit.find(failed, limit=_EVENTS)

    async def _record(self, kind: EventKind, **about: Unpack[About]) -> None:
        await self._core.audit.record(kind, self._origin, **about)


async def _find_similar(connection: Connection, email_key: str) -> list[UserStateRow]:
    # Input methods for East Asian languages write full-width letters.
    plain = nfkc(email_key)
    if plain and "@" not in plain:
        return await users.find_states_by_prefix(connection, f"{plain}@", limit=_MAX_SIMILAR)
    candidates = sorted({*one_slip_away(email_key), plain} - {email_key})
    return await users.find_states_by_email(connection, candidates, limit=_MAX_SIMILAR)

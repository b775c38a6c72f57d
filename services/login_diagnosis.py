"""Why a user cannot log in, as far as the database shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from db import users
from db.events import EventFilter
from db.pool import Connection
from db.rows import CountStateRow, EventRow, UserStateRow
from rules import emails
from rules.origin import LocalOrigin
from rules.similar_emails import one_slip_away
from rules.text_bounds import nfkc
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
    """What affects the logins of an email address.

    ``similar`` are users whose email address differs by one slip, if no user has this one;
    ``reserved_until`` is when it becomes available after its user was deleted. ``account`` is the
    count of the account, ``waits`` are those from networks, ``next_waits`` are those that the next
    failure starts; ``is_usual_network`` is whether the IP address that was asked about is in the
    usual network, None without one.
    """

    user: UserStateRow | None
    similar: Sequence[UserStateRow]
    reserved_until: datetime | None
    account: CountStateRow | None
    waits: Sequence[Wait]
    next_waits: Sequence[Wait]
    is_usual_network: bool | None
    failures: Sequence[EventRow]
    last_login: EventRow | None


class LoginDiagnoses:
    """Finds out why users cannot log in."""

    def __init__(
        self, core: Core, waits: Waits, reservations: Reservations, origin: LocalOrigin
    ) -> None:
        self._core = core
        self._waits = waits
        self._reservations = reservations
        self._origin = origin

    async def diagnose(self, email_or_id: str, ip: str | None) -> LoginDiagnosis:
        """Return what affects the logins of a user, from an IP address or from recent ones.

        Writes an event if the user exists.
        """
        async with connection_to(self._core.database) as connection:
            user = await find_user(connection, email_or_id)
            key = "" if user is None and is_user_id(email_or_id) else _key(user, email_or_id)
            found = await self._waits.find_for(connection, key, ip)
            similar = [] if user else await _find_similar(connection, key)
            reserved = None if user else await self._reservations.find_end(connection, key)
        account = next((each.count for each in found if each.kind is CountKind.ACCOUNT), None)
        networks = [each for each in found if each.kind is not CountKind.ACCOUNT]
        usual = account is not None and ip is not None and self._waits.is_usual_network(account, ip)
        failures, last_login = await self._find_events(user, key)
        if user:
            await self._core.audit.record(
                EventKind.USER_READ, self._origin, user_id=user.id, email_key=key
            )
        return LoginDiagnosis(
            user=user,
            similar=similar,
            reserved_until=reserved,
            account=account,
            waits=[each for each in networks if each.count.is_waiting],
            next_waits=[each for each in networks if not each.count.is_waiting],
            is_usual_network=None if ip is None else usual,
            failures=failures,
            last_login=last_login,
        )

    async def _find_events(
        self, user: UserStateRow | None, key: str
    ) -> tuple[list[EventRow], EventRow | None]:
        """Return the last failures of an email address, and the last login of its user."""
        audit = self._core.audit
        failed = EventFilter(email_digest=audit.email_digest(key), outcome="failure")
        failures = await audit.find(failed, limit=_EVENTS)
        if user is None:
            return failures, None
        logged_in = EventFilter(user_id=user.id, kind=EventKind.LOGGED_IN)
        found = await audit.find(logged_in, limit=1)
        return failures, found[0] if found else None


def _key(user: UserStateRow | None, email: str) -> str:
    return emails.email_key(user.email) if user else emails.lookup_key(email)


async def _find_similar(connection: Connection, email_key: str) -> list[UserStateRow]:
    # Input methods for East Asian languages write full-width letters.
    plain = nfkc(email_key)
    if plain and "@" not in plain:
        return await users.find_states_by_prefix(connection, f"{plain}@", limit=_MAX_SIMILAR)
    candidates = sorted({*one_slip_away(email_key), plain} - {email_key})
    return await users.find_states_by_email(connection, candidates, limit=_MAX_SIMILAR)

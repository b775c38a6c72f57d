"""How often a password may be tried: NIST SP 800-63B-4 section 3.2.2, OWASP ASVS 5.0 6.3.1.

A try is counted as a failure before its hash is spent, and counted out when it was right: of any
number of tries at a time, on any number of processes, no more begin than are allowed. Counted are
the e-mail address that was sent, whether or not somebody has it, together with the address
it comes from; and each of both alone, with wider bounds. Whoever has used up a count waits, twice
as long after each failure.

A right password sets the count of its e-mail address back, and makes the address it came from its
place: there, what others did to the account from elsewhere does not hold. At most ``most_in_a_row``
failures of an e-mail address, of which others than its place get four fifths: then no
password is taken until there was a right one at the place, or an administrator helped.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from auth import emails
from auth.database import answer, connection_to
from auth.digests import Digests
from auth.errors import TooManyTries
from auth.origin import network_of
from db import throttle
from db.lookups import Lookups
from db.pool import Connection, Database
from db.rows import UserRow

ACCOUNT, PAIR, ADDRESS, REGISTRATION = "account:", "pair:", "address:", "registration:"
# A wait without an end is told as one day.
_LONGEST_TOLD_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class ThrottleLimits:
    """How many failures are free, and how long the waits after them are, in seconds."""

    pair_failures: int
    account_failures: int
    address_failures: int
    registrations: int
    most_in_a_row: int
    first_delay_seconds: float
    longest_delay_seconds: float
    forget_seconds: int


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that is counted. ``most`` of an account: how many there may be in a row."""

    name: str
    free: int
    most: int | None = None

    @property
    def is_account(self) -> bool:
        """Tell whether it is an e-mail address, wherever it is tried from: it has a place."""
        return self.most is not None

    @property
    def is_address(self) -> bool:
        """Tell whether it is an address, whatever is tried from there."""
        return self.name.startswith(ADDRESS)


@dataclass(frozen=True, slots=True)
class Try:
    """What a try of a password is counted under, and the place that it comes from."""

    subjects: tuple[Subject, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A try that may be made: whether others failed, and whether it comes from the place."""

    has_failed: bool
    is_at_place: bool


@dataclass(frozen=True, slots=True)
class Charged:
    """A try that was counted: when, and whether further ones have to wait."""

    at: datetime
    begins_to_wait: bool


class Throttle:
    """Decides whether a password may be tried. ``clock`` returns the time in UTC seconds."""

    def __init__(
        self,
        *,
        database: Database,
        lookups: Lookups,
        digests: Digests,
        limits: ThrottleLimits,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._lookups = lookups
        self._digests = digests
        self._limits = limits
        self._clock = clock

    def try_of(self, login: str, ip: str | None) -> Try:
        """Return what a try is counted under: of an e-mail address's key, or a client's id."""
        limits = self._limits
        network = network_of(ip)
        place = self._digests.of(ADDRESS, network)
        subjects = [
            Subject(self.account(login), limits.account_failures, limits.most_in_a_row),
            Subject(PAIR + self._digests.of(PAIR, f"{network}\0{login}"), limits.pair_failures),
        ]
        if ip is not None:
            subjects.append(Subject(ADDRESS + place, limits.address_failures))
        return Try(tuple(subjects), place)

    def registration(self, ip: str | None) -> Try:
        """Return what a registration is counted under."""
        place = self._digests.of(ADDRESS, network_of(ip))
        return Try((Subject(REGISTRATION + place, self._limits.registrations),), place)

    def account(self, login: str) -> str:
        """Return the name of the count of an e-mail address's key."""
        return ACCOUNT + self._digests.of(ACCOUNT, login)

    def try_of_client(self, client_id: str, ip: str | None) -> Try:
        """Return what a try of a client's secret is counted under.

        Not the client alone: nobody guesses 256 bits, and its id is no secret.
        """
        tried = self.try_of(f"client\0{client_id}", ip)
        return Try(tried.subjects[1:], tried.place)

    async def check(self, tried: Try) -> Checked:
        """Return what is known of a try; raises TooManyTries where it has to wait.

        Cheap: a look-up that requests share.
        """
        find = self._lookups.counts_of_tries.find
        found = await answer(asyncio.gather(*[find(subject.name) for subject in tried.subjects]))
        rows = [row for row in found if row is not None]
        waits = [row.place_next_at if row.place == tried.place else row.next_at for row in rows]
        latest = max((until for until in waits if until is not None), default=0.0)
        if latest > self._clock():
            raise self._too_many(latest)
        counted = zip(tried.subjects, found, strict=True)
        return Checked(
            any(row and row.failures for subject, row in counted if not subject.is_address),
            any(row.place == tried.place for row in rows),
        )

    async def charge(self, tried: Try) -> Charged:
        """Count a try as a failure.

        Raises TooManyTries where it may not be made.
        """
        limits, now = self._limits, self._now()
        forget_before = now - timedelta(seconds=limits.forget_seconds)
        names = [subject.name for subject in tried.subjects]
        async with connection_to(self._database) as connection:
            verdict = None
            while verdict is None:
                verdict = await throttle.charge(
                    connection,
                    names,
                    free=[subject.free for subject in tried.subjects],
                    forget_before=[
                        None if subject.is_account else forget_before for subject in tried.subjects
                    ],
                    most=[subject.most for subject in tried.subjects],
                    place=tried.place,
                    first_delay_seconds=limits.first_delay_seconds,
                    longest_delay_seconds=limits.longest_delay_seconds,
                    at=now,
                )
                if verdict is None:
                    await throttle.ensure_counts(connection, names, at=now)
        if not verdict.is_allowed:
            raise self._too_many(verdict.waits_until)
        return Charged(now, verdict.begins_to_wait)

    async def clear(self, tried: Try, charged: Charged) -> None:
        """Count a try out that was right, and set back what it was counted under."""
        await self._clear(tried, [subject.name for subject in tried.subjects], charged.at)

    async def clear_uncharged(self, tried: Try) -> None:
        """Set back what a try is counted under that was right, and not counted; not the address."""
        names = [subject.name for subject in tried.subjects if not subject.is_address]
        await self._clear(tried, names, self._now())

    async def _clear(self, tried: Try, names: list[str], charged_at: datetime) -> None:
        account = next((subject.name for subject in tried.subjects if subject.is_account), "")
        async with connection_to(self._database) as connection:
            await throttle.clear(
                connection,
                names,
                address=ADDRESS + tried.place,
                account=account,
                place=tried.place,
                charged_at=charged_at,
                at=self._now(),
            )

    async def begin(self, connection: Connection, user: UserRow, ip: str | None) -> None:
        """Make the address that an account was made from its place."""
        tried = self.try_of(emails.email_key(user.email), ip)
        account = tried.subjects[0].name
        await throttle.set_place(connection, account, place=tried.place, at=self._now())

    async def reset(self, connection: Connection, user: UserRow) -> None:
        """Set the failures in a row of a user back; what a pair or an address waits for stays."""
        await throttle.reset_count(connection, self.account(emails.email_key(user.email)))

    async def forget(self, connection: Connection, user: UserRow) -> None:
        """Forget the failures of a user who goes, and the place of the last success."""
        await throttle.delete_count(connection, self.account(emails.email_key(user.email)))

    def _too_many(self, until: float | None) -> TooManyTries:
        seconds = (until or 0.0) - self._clock()
        return TooManyTries(math.ceil(min(seconds, _LONGEST_TOLD_SECONDS)))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

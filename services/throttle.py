"""How often a password may be tried: NIST SP 800-63B-4 section 3.2.2, OWASP ASVS 5.0 6.3.1.

A try is counted as a failure before its hash is spent, and counted out when it was right: of any
number of tries at a time, on any number of processes, no more begin than are allowed. Counted are
the e-mail address that was sent, whether or not somebody has it, together with the address
it comes from; and each of both alone, with wider bounds. Whoever has used up a count waits, twice
as long after each failure.

A right password resets the count of its e-mail address, and makes the network it came from the
trusted network of the account: there, failures from other networks do not count. An e-mail address
has at most ``max_consecutive_failures``, four fifths of them from networks that are not trusted.
Beyond that no password is accepted until a right one comes from the trusted network, or an
administrator clears the count.

Wrong secrets of clients have counts of their own: of a client's id with an address, and of each
address. What people do at an address makes no client wait, and the other way round.
"""

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from db import throttle
from db.lookups import Lookups
from db.pool import Connection, Database
from db.rows import UserRow
from rules import emails
from rules.digests import Digests
from rules.errors import TooManyAttempts
from rules.origin import network_of
from services.transactions import answer, connection_to

# The indexes for the housekeeping know that of accounts: see schema.sql.
ACCOUNT, PAIR, ADDRESS, REGISTRATION = "account:", "pair:", "address:", "registration:"
CLIENT_PAIR, CLIENT_ADDRESS = "client-pair:", "client-address:"
# A wait without an end is told as one day.
_LONGEST_TOLD_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class ThrottleLimits:
    """How many failures are free, and how long the waits after them are, in seconds."""

    pair_failures: int
    account_failures: int
    address_failures: int
    registrations: int
    max_consecutive_failures: int
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


@dataclass(frozen=True, slots=True)
class Try:
    """What a try of a password or secret is counted under, and the place that it comes from."""

    subjects: tuple[Subject, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Charged:
    """A try that was counted: when, and whether further ones have to wait."""

    at: datetime
    is_newly_blocked: bool


class Throttle:
    """Decides whether a password may be tried."""

    def __init__(
        self,
        *,
        database: Database,
        lookups: Lookups,
        digests: Digests,
        limits: ThrottleLimits,
    ) -> None:
        self._database = database
        self._lookups = lookups
        self._digests = digests
        self._limits = limits

    def try_of(self, login: str, ip: str | None) -> Try:
        """Return what a try of a password is counted under, of an e-mail address's key."""
        limits = self._limits
        account = Subject(
            self.account(login), limits.account_failures, limits.max_consecutive_failures
        )
        return self._try(PAIR, ADDRESS, login, ip, first=(account,))

    def try_of_client(self, client_id: str, ip: str | None) -> Try:
        """Return what a wrong secret of a client is counted under.

        Not the client alone: nobody guesses 256 bits, and its id is no secret.
        """
        return self._try(CLIENT_PAIR, CLIENT_ADDRESS, client_id, ip)

    def _try(
        self, pair: str, address: str, login: str, ip: str | None, first: tuple[Subject, ...] = ()
    ) -> Try:
        limits, network = self._limits, network_of(ip)
        both = Subject(pair + self._digests.of(pair, f"{network}\0{login}"), limits.pair_failures)
        subjects = (*first, both)
        if ip is not None:
            name = address + self._digests.of(address, network)
            subjects = (*subjects, Subject(name, limits.address_failures))
        return Try(subjects, self._digests.of(ADDRESS, network))

    def registration(self, ip: str | None) -> Try:
        """Return what a registration is counted under."""
        place = self._digests.of(ADDRESS, network_of(ip))
        return Try((Subject(REGISTRATION + place, self._limits.registrations),), place)

    def account(self, login: str) -> str:
        """Return the name of the count of an e-mail address's key."""
        return ACCOUNT + self._digests.of(ACCOUNT, login)

    async def check(self, tried: Try) -> bool:
        """Return whether a try comes from the place; raises TooManyAttempts where it has to wait.

        Cheap: a look-up that requests share.
        """
        find = self._lookups.counts_of_tries.find
        found = await answer(asyncio.gather(*[find(subject.name) for subject in tried.subjects]))
        rows = [row for row in found if row is not None]
        longest = _longest(
            row.place_wait_seconds if row.place == tried.place else row.wait_seconds for row in rows
        )
        if longest > 0:
            raise _too_many(longest)
        return any(row.place == tried.place for row in rows)

    async def charge(self, tried: Try) -> Charged:
        """Count a try as a failure.

        Raises TooManyAttempts where it may not be made.
        """
        limits = self._limits
        names = [subject.name for subject in tried.subjects]
        async with connection_to(self._database) as connection:
            verdict = None
            while verdict is None:
                verdict = await throttle.charge(
                    connection,
                    names,
                    free=[subject.free for subject in tried.subjects],
                    forget_seconds=[
                        None if subject.is_account else limits.forget_seconds
                        for subject in tried.subjects
                    ],
                    most=[subject.most for subject in tried.subjects],
                    place=tried.place,
                    first_delay_seconds=limits.first_delay_seconds,
                    longest_delay_seconds=limits.longest_delay_seconds,
                )
                if verdict is None:
                    await throttle.ensure_counts(connection, names)
        if not verdict.is_allowed:
            raise _too_many(_longest([verdict.wait_seconds]))
        return Charged(verdict.at, verdict.is_newly_blocked)

    async def clear(self, tried: Try, charged: Charged) -> None:
        """Count a try of a password out that was right, and set back what it was counted under."""
        account = next((subject.name for subject in tried.subjects if subject.is_account), "")
        async with connection_to(self._database) as connection:
            await throttle.clear(
                connection,
                [subject.name for subject in tried.subjects],
                address=ADDRESS + tried.place,
                account=account,
                place=tried.place,
                charged_at=charged.at,
            )

    async def begin(self, connection: Connection, user: UserRow, ip: str | None) -> None:
        """Make the address that an account was made from its place."""
        tried = self.try_of(emails.email_key(user.email), ip)
        account = tried.subjects[0].name
        await throttle.set_place(connection, account, place=tried.place)

    async def reset(self, connection: Connection, user: UserRow) -> None:
        """Set the failures in a row of a user back; what a pair or an address waits for stays."""
        await throttle.reset_count(connection, self.account(emails.email_key(user.email)))

    async def forget(self, connection: Connection, user: UserRow) -> None:
        """Forget the failures of a user who goes, and the place of the last success."""
        await throttle.delete_count(connection, self.account(emails.email_key(user.email)))


def _longest(waits: Iterable[float | None]) -> float:
    return max((seconds for seconds in waits if seconds is not None), default=0.0)


def _too_many(seconds: float) -> TooManyAttempts:
    return TooManyAttempts(max(1, math.ceil(min(seconds, _LONGEST_TOLD_SECONDS))))

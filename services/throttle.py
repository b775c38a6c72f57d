"""Limits on failed attempts: NIST SP 800-63B-4 section 3.2.2, OWASP ASVS 5.0 6.3.1.

An attempt is counted as a failure before its hash is computed, and the count is decremented if the
password was correct: of any number of concurrent attempts, in any number of processes, no more
begin than are allowed. Failures are counted by email address, whether or not a user has it,
together with the IP address of the request; and by either of them alone, with higher limits. Beyond
a limit, each attempt has to wait, twice as long after each failure.

A correct password resets the count of its email address, and makes the network of the request the
usual network of the account: there, failures from other networks cause no wait. An email address
has at most ``max_consecutive_failures``. From four fifths of them on, no password is accepted from
other networks until a correct one comes from the usual network. At the limit, none is accepted
until the user resets the password by a message, or an administrator resets the count.

Wrong secrets of clients are counted separately: by the client's id with the IP address, and by the
IP address. Attempts of users at an IP address do not delay clients, and vice versa.
"""

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from db import counts, throttle
from db.lookups import Lookups
from db.pool import Connection, Database
from db.rows import ThrottleDecision, UserRow
from db.throttle import Subject
from rules import emails
from rules.digests import Digests
from rules.errors import TooManyAttempts
from rules.origin import network_of
from services.throttle_subjects import ADDRESS, CODE, SubjectNames
from services.transactions import connection_to, result_of
from settings.model import ThrottleSettings

# Retry-After if attempts are rejected indefinitely.
_MAX_RETRY_AFTER_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt with a password or secret: its subjects, and the digest of its network."""

    subjects: tuple[Subject, ...]
    network: str

    @property
    def account(self) -> str:
        """Return the name of the account's count; empty for an attempt without an account."""
        return next((each.name for each in self.subjects if each.max_failures is not None), "")

    @property
    def decremented(self) -> str:
        """Return the name of the count that one success does not reset."""
        shared = (each.name for each in self.subjects if each.name.startswith((ADDRESS, CODE)))
        return next(shared, "")


@dataclass(frozen=True, slots=True)
class RecordedFailure:
    """A counted attempt: its time, and whether further ones have to wait from now on."""

    at: datetime
    is_newly_blocked: bool


class Throttle:
    """Decides whether an attempt is allowed."""

    def __init__(
        self, *, database: Database, lookups: Lookups, digests: Digests, limits: ThrottleSettings
    ) -> None:
        self._database = database
        self._lookups = lookups
        self._names = SubjectNames(digests)
        self._limits = limits

    def password_attempt(self, email_key: str, ip: str | None) -> Attempt:
        """Return an attempt with the password of an email address, given by its key."""
        limits = self._limits
        account = Subject(
            self._names.account(email_key),
            limits.account_failures,
            max_failures=limits.max_consecutive_failures,
        )
        network = network_of(ip)
        pair = self._names.pair(email_key, network)
        return self._login_attempt(pair, self._names.network(network), ip, account)

    def client_attempt(self, client_id: str, ip: str | None) -> Attempt:
        """Return an attempt with the secret of a client.

        The id alone is not counted: 256 bits cannot be guessed, and the id is not secret.
        """
        network = network_of(ip)
        pair = self._names.client_pair(client_id, network)
        return self._login_attempt(pair, self._names.client_network(network), ip)

    def registration_attempt(self, ip: str | None) -> Attempt:
        """Return an attempt to register."""
        subject = self._subject(
            self._names.registration(network_of(ip)), self._limits.registrations
        )
        return Attempt((subject,), self._names.network_digest(network_of(ip)))

    def code_attempt(self, ip: str | None) -> Attempt:
        """Return an attempt with the code of a message."""
        network = network_of(ip)
        subject = self._subject(self._names.code(network), self._limits.address_failures)
        return Attempt((subject,), self._names.network_digest(network))

    async def check(self, attempt: Attempt) -> bool:
        """Return whether an attempt comes from the usual network of its account.

        Raises TooManyAttempts if it has to wait. The lookup is batched, and therefore cheap.
        """
        find = self._lookups.attempt_counts.find
        found = await result_of(asyncio.gather(*[find(each.name) for each in attempt.subjects]))
        rows = [row for row in found if row is not None]
        usual = [row for row in rows if row.usual_network == attempt.network]
        others = [row for row in rows if row.usual_network != attempt.network]
        longest = _longest(
            [row.usual_network_wait_seconds for row in usual] + [row.wait_seconds for row in others]
        )
        if longest > 0:
            raise _too_many(longest)
        return bool(usual)

    async def record_failure(self, attempt: Attempt) -> RecordedFailure:
        """Count an attempt as a failure, before it begins.

        Raises TooManyAttempts if it is not allowed.
        """
        async with connection_to(self._database) as connection:
            decision = await self._count(connection, attempt)
            while decision is None:
                await throttle.ensure_counts(connection, attempt.subjects)
                decision = await self._count(connection, attempt)
        if not decision.is_allowed:
            raise _too_many(_longest([decision.wait_seconds]))
        return RecordedFailure(decision.at, decision.is_newly_blocked)

    async def record_success(self, attempt: Attempt, failure: RecordedFailure) -> None:
        """Undo the failure of an attempt that succeeded, and reset its counts."""
        async with connection_to(self._database) as connection:
            await throttle.record_success(
                connection,
                attempt.subjects,
                decremented=attempt.decremented,
                account=attempt.account,
                network=attempt.network,
                attempted_at=failure.at,
            )

    async def set_usual_network(
        self, connection: Connection, user: UserRow, ip: str | None
    ) -> None:
        """Make the network that a user registered from the usual network of the account."""
        attempt = self.password_attempt(emails.email_key(user.email), ip)
        await counts.set_usual_network(connection, attempt.account, attempt.network)

    async def move_count(self, connection: Connection, old: UserRow, new: UserRow) -> None:
        """Move the failures and the usual network of a user to a new email address."""
        names = [self._names.account(emails.email_key(user.email)) for user in (old, new)]
        await counts.move_count(connection, *names)

    async def delete_counts(self, connection: Connection, user: UserRow, ip: str | None) -> None:
        """Delete the failures of a user, in total and from the network of a request.

        The usual network of the account is deleted with them.
        """
        await self.delete_count(connection, user)
        key = emails.email_key(user.email)
        await counts.delete_count(connection, self._names.pair(key, network_of(ip)))

    async def delete_count(self, connection: Connection, user: UserRow) -> None:
        """Delete the failures of a user in total, and the usual network of the account."""
        await counts.delete_count(connection, self._names.account(emails.email_key(user.email)))

    def _login_attempt(self, pair: str, network: str, ip: str | None, *account: Subject) -> Attempt:
        """Return an attempt, counted by the names of a pair, a network if known, and an account."""
        subjects = [*account, self._subject(pair, self._limits.pair_failures)]
        if ip is not None:
            subjects.append(self._subject(network, self._limits.address_failures))
        return Attempt(tuple(subjects), self._names.network_digest(network_of(ip)))

    def _subject(self, name: str, free_failures: int) -> Subject:
        return Subject(name, free_failures, forget_seconds=self._limits.forget_seconds)

    async def _count(self, connection: Connection, attempt: Attempt) -> ThrottleDecision | None:
        return await throttle.record_failure(
            connection,
            attempt.subjects,
            network=attempt.network,
            first_delay_seconds=self._limits.first_delay_seconds,
            longest_delay_seconds=self._limits.longest_delay_seconds,
        )


def _longest(waits: Iterable[float | None]) -> float:
    return max((seconds for seconds in waits if seconds is not None), default=0.0)


def _too_many(seconds: float) -> TooManyAttempts:
    return TooManyAttempts(max(1, math.ceil(min(seconds, _MAX_RETRY_AFTER_SECONDS))))

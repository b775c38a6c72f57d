"""The audit trail: what happened to accounts, clients and keys, and from where.

The event of a change is written in the transaction of that change. It contains no secret, and only
a keyed digest of an email address, which finds the events of the address but does not reveal it.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypedDict, Unpack

from db import events
from db.events import EventFilter
from db.pool import Connection, Database
from db.rows import EventRow, NewEvent, UserRow
from rules import emails
from rules.digests import Digests
from rules.origin import Origin, network_of
from services.counts import CommittedCounts
from services.event_kinds import EventKind, Revocation
from services.failure_counts import MINUTE, FailureCounts
from services.transactions import Transaction, connection_to, transaction_on

_EMAIL = "audit.email"


class About(TypedDict, total=False):
    """The subject of an event.

    ``email_key`` is the key of an email address that may belong to no user.
    """

    user: UserRow | None
    user_id: str | None
    email_key: str
    client_id: str | None
    key_id: str


class AuditTrail:
    """Writes and finds events. ``clock`` returns the time in UTC seconds."""

    def __init__(self, database: Database, digests: Digests, clock: Callable[[], float]) -> None:
        self._database = database
        self._digests = digests
        self._clock = clock
        self._failures = FailureCounts()
        self.counts = CommittedCounts()

    async def write(
        self,
        transaction: Transaction,
        kind: EventKind,
        origin: Origin,
        *,
        revoked: tuple[Revocation, int] | None = None,
        **about: Unpack[About],
    ) -> None:
        """Write the event of a change, in its transaction.

        ``revoked`` is why the change revoked valid tokens, and how many.
        """
        event = self._event(kind, origin, about)
        await events.insert_event(transaction.connection, event)
        transaction.on_commit(lambda: self._count(kind, revoked))

    async def record(self, kind: EventKind, origin: Origin, **about: Unpack[About]) -> None:
        """Write an event that is not about a change in the database.

        A failure that follows another one of its kind from the same network is counted, and
        written by ``write_counted``.
        """
        event = self._event(kind, origin, about)
        if kind.is_failure and not self._failures.note(event, network_of(origin.ip)):
            self._count(kind)
            return
        try:
            async with connection_to(self._database) as connection:
                await events.insert_event(connection, event)
        except BaseException:
            if kind.is_failure:
                self._failures.put_back([event])
                self._count(kind)
            raise
        self._count(kind)

    async def write_counted(self) -> float:
        """Write the failures that were counted in past minutes.

        Returns the seconds until the current minute ends. Raises DatabaseUnavailable; the
        failures then remain counted.
        """
        now = self._clock()
        await self._write_taken(self._failures.take(now))
        return MINUTE - now % MINUTE

    async def write_all_counted(self) -> None:
        """Write all counted failures when the server stops."""
        await self._write_taken(self._failures.take())

    async def write_for_users(
        self,
        connection: Connection,
        kind: EventKind,
        origin: Origin,
        users: Sequence[tuple[str, str]],
    ) -> None:
        """Write the same event for many users, given by id and by the key of the email address."""
        await events.insert_for_users(
            connection,
            at=self._now(),
            kind=kind,
            outcome=kind.outcome,
            actor=origin.actor,
            user_ids=[user_id for user_id, _ in users],
            email_digests=[self.email_digest(key) for _, key in users],
        )

    async def find(self, wanted: EventFilter, *, limit: int) -> list[EventRow]:
        """Return the events that pass a filter, newest first."""
        async with connection_to(self._database) as connection:
            return await events.find_events(connection, wanted, limit=limit)

    async def has_event(self, public_id: str) -> bool:
        """Return whether an event exists."""
        async with connection_to(self._database) as connection:
            return await events.has_event(connection, public_id)

    def email_digest(self, email_key: str) -> str:
        """Return the digest that events contain for the key of an email address."""
        return self._digests.of(_EMAIL, email_key)

    async def _write_taken(self, counted: Sequence[NewEvent]) -> None:
        if not counted:
            return
        try:
            async with transaction_on(self._database) as transaction:
                for event in counted:
                    await events.insert_event(transaction.connection, event)
        except BaseException:
            self._failures.put_back(counted)
            raise

    def _event(self, kind: EventKind, origin: Origin, about: About) -> NewEvent:
        user = about.get("user")
        key = emails.email_key(user.email) if user else about.get("email_key")
        return NewEvent(
            at=self._now(),
            kind=kind,
            outcome=kind.outcome,
            user_id=user.id if user else about.get("user_id"),
            email_digest=None if key is None else self.email_digest(key),
            ip=origin.ip,
            client_id=about.get("client_id"),
            key_id=about.get("key_id"),
            request_id=origin.request_id,
            actor=origin.actor,
        )

    def _count(self, kind: EventKind, revoked: tuple[Revocation, int] | None = None) -> None:
        self.counts.events[kind] += 1
        if revoked is not None:
            reason, number = revoked
            self.counts.revoked[reason] += number

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

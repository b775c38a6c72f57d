"""The audit trail: what happened to accounts, clients and keys, and from where.

An event is written in the transaction of what it tells. No secret is in it, and of an e-mail
address only a keyed digest: who knows the address finds its events, nobody else reads it there.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypedDict, Unpack

from db import events
from db.pool import Connection, Database
from db.rows import EventRow, NewEvent, UserRow
from rules import emails
from rules.digests import Digests
from rules.origin import Origin, network_of
from services.failure_counts import MINUTE, FailureCounts
from services.transactions import connection_to, transaction_on

_EMAIL = "audit.email"


class Kind(StrEnum):
    """What happened."""

    REGISTERED = "registered"
    IMPORTED = "imported"
    EXPORTED = "exported"
    BACKED_UP = "backed-up"
    RESTORED = "restored"
    ADDED = "added"
    LOGGED_IN = "logged-in"
    PASSWORD_FAILED = "password-failed"  # noqa: S105
    THROTTLED = "throttled"
    NAME_CHANGED = "name-changed"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105
    TOKEN_ENDED = "token-ended"  # noqa: S105
    TOKENS_ENDED = "tokens-ended"
    DISABLED = "disabled"
    ENABLED = "enabled"
    DELETED = "deleted"
    CLIENT_ADDED = "client-added"
    CLIENT_SECRET_REPLACED = "client-secret-replaced"  # noqa: S105
    CLIENT_REMOVED = "client-removed"
    CLIENT_FAILED = "client-failed"
    KEY_ADDED = "key-added"
    KEY_RETIRED = "key-retired"
    USER_READ = "user-read"
    USERS_LISTED = "users-listed"
    AUDIT_READ = "audit-read"

    @property
    def is_failure(self) -> bool:
        """Tell whether it is a failure: those are what anybody can cause, without credentials."""
        return self in {Kind.PASSWORD_FAILED, Kind.THROTTLED, Kind.CLIENT_FAILED}

    @property
    def outcome(self) -> str:
        """Return success, or failure."""
        return "failure" if self.is_failure else "success"


class About(TypedDict, total=False):
    """Whom or what an event is about.

    ``email_key`` is the key of an e-mail address that is nobody's, or not known to be.
    """

    user: UserRow | None
    user_id: str
    email_key: str
    client_id: str | None
    key_id: str


class AuditTrail:
    """Writes events, and finds them. ``clock`` returns the time in UTC seconds.

    ``counts`` tells how many of each kind there were in this process since it began.
    """

    def __init__(self, database: Database, digests: Digests, clock: Callable[[], float]) -> None:
        self._database = database
        self._digests = digests
        self._clock = clock
        self._failures = FailureCounts()
        self.counts = {kind.value: 0 for kind in Kind}

    async def write(
        self,
        connection: Connection,
        kind: Kind,
        origin: Origin,
        **about: Unpack[About],
    ) -> None:
        """Write an event, in the transaction of what it tells, if the connection is in one."""
        await self._insert(connection, self._event(kind, origin, about))

    async def record(self, kind: Kind, origin: Origin, **about: Unpack[About]) -> None:
        """Write an event that tells of nothing in the database.

        A failure that follows another one of its kind from the same network is counted, and
        written by ``write_counted``.
        """
        event = self._event(kind, origin, about)
        if kind.is_failure and not self._failures.note(event, network_of(origin.ip)):
            self.counts[kind.value] += 1
            return
        try:
            async with connection_to(self._database) as connection:
                await self._insert(connection, event)
        except BaseException:
            if kind.is_failure:
                self._failures.put_back([event])
            raise

    async def write_counted(self) -> float:
        """Write failures that were counted in minutes that are over.

        Returns in how many seconds the present one is. Raises DatabaseUnavailable; then they are
        still counted.
        """
        now = self._clock()
        await self._write_taken(self._failures.take(now))
        return MINUTE - now % MINUTE

    async def write_all_counted(self) -> None:
        """Write failures that were counted, for an end."""
        await self._write_taken(self._failures.take())

    async def _write_taken(self, counted: Sequence[NewEvent]) -> None:
        if not counted:
            return
        try:
            async with transaction_on(self._database) as connection:
                for event in counted:
                    await events.insert_event(connection, event)
        except BaseException:
            self._failures.put_back(counted)
            raise

    def _event(self, kind: Kind, origin: Origin, about: About) -> NewEvent:
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

    async def _insert(self, connection: Connection, event: NewEvent) -> None:
        await events.insert_event(connection, event)
        self.counts[event.kind] += 1

    async def write_for_users(
        self,
        connection: Connection,
        kind: Kind,
        origin: Origin,
        users: Sequence[tuple[str, str]],
    ) -> None:
        """Write the same event for many users, given by id and e-mail address's key."""
        await events.insert_for_users(
            connection,
            at=self._now(),
            kind=kind,
            outcome=kind.outcome,
            actor=origin.actor,
            user_ids=[user_id for user_id, _ in users],
            email_digests=[self.email_digest(key) for _, key in users],
        )

    async def find(
        self,
        *,
        most: int,
        user_id: str | None = None,
        email: str | None = None,
        kind: Kind | None = None,
        since: datetime | None = None,
        before: str | None = None,
        after: int | None = None,
    ) -> list[EventRow]:
        """Return events, newest first.

        ``before`` is the public id of an event, ``after`` the number of one.
        """
        digest = None if email is None else self.email_digest(emails.lookup_key(email))
        async with connection_to(self._database) as connection:
            return await events.find_events(
                connection,
                most=most,
                user_id=user_id,
                email_digest=digest,
                kind=kind,
                since=since,
                before=before,
                after=after,
            )

    def email_digest(self, email_key: str) -> str:
        """Return the digest under which events of an e-mail address's key are found."""
        return self._digests.of(_EMAIL, email_key)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

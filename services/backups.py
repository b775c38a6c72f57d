"""Backups of the database, and the state of tokens and users after a restore.

A backup does not include later revocations, deletions and disabled users. So a restore revokes
every token, unless the administrator keeps them; and it reports the users that it restored although
they were deleted or disabled since, as far as the replaced database shows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from db.rows import NewEvent
from db.schema import VERSION
from postgres import backup, restore
from postgres.archives import Archive, Manifest
from rules.origin import LocalOrigin
from services.event_kinds import EventKind

_STATES = (EventKind.DELETED, EventKind.DISABLED, EventKind.ENABLED)


@dataclass(frozen=True, slots=True)
class Restoration:
    """The result of a restore: how many users, and how many valid tokens were revoked.

    ``deleted`` and ``disabled`` are the email addresses of users that were deleted or disabled
    after the backup; ``lost_events`` is how many events the replaced database contained.
    ``migrated_from`` is the version of the schema in the backup, if it is an earlier one.
    """

    users: int
    revoked_tokens: int
    lost_events: int
    migrated_from: int | None
    deleted: Sequence[str]
    disabled: Sequence[str]


class Backups:
    """Writes and restores backups of one database. ``clock`` returns the time in UTC seconds.

    ``environ`` is where libpq reads what the dsn does not specify, ``schema`` the text of
    schema.sql.
    """

    def __init__(
        self,
        dsn: str,
        *,
        environ: Mapping[str, str],
        schema: str,
        clock: Callable[[], float],
        origin: LocalOrigin,
    ) -> None:
        self._dsn = dsn
        self._environ = environ
        self._schema = schema
        self._clock = clock
        self._origin = origin

    def write(self, target: BinaryIO) -> Manifest:
        """Write a backup; return its manifest. Raises SchemaMissing where the schema is missing."""
        event = self._event(EventKind.BACKED_UP)
        return backup.write_backup(self._dsn, self._environ, target, event)

    def restore(self, archive: Archive, *, may_replace: bool, keeps_tokens: bool) -> Restoration:
        """Replace the database with a backup; raises DatabaseNotEmpty where it may not."""
        wanted = restore.Wanted(
            schema=self._schema,
            event=self._event(EventKind.RESTORED),
            may_replace=may_replace,
            keeps_tokens=keeps_tokens,
            kinds=_STATES,
        )
        done = restore.restore(self._dsn, archive, wanted)
        version = archive.manifest.version
        return Restoration(
            users=done.users,
            revoked_tokens=done.revoked_tokens,
            lost_events=done.lost_events,
            migrated_from=version if version < VERSION else None,
            deleted=[email for kind, email in done.changed_since if kind == EventKind.DELETED],
            disabled=[email for kind, email in done.changed_since if kind == EventKind.DISABLED],
        )

    def _event(self, kind: EventKind) -> NewEvent:
        at = datetime.fromtimestamp(self._clock(), UTC)
        actor = self._origin.actor
        return NewEvent(at=at, kind=kind, outcome=kind.outcome, actor=actor)

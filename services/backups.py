"""Backups of the database, and the state of tokens and users after a restore.

A backup does not include later revocations, deletions and disabled users. So a restore revokes
every token, unless the administrator keeps them. It deletes the messages. And it reports the users
that it restored although they were deleted or disabled since, as far as the replaced database
shows.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import BinaryIO

from db.rows import NewEvent
from postgres.archives import Archive, Manifest
from postgres.backup import write_backup
from postgres.restore import RestoreOptions, RestoreResult, count_replaced, restore
from rules.origin import LocalOrigin
from services.event_kinds import EventKind

_STATES = (EventKind.DELETED, EventKind.DISABLED, EventKind.ENABLED)


class Backups:
    """Writes and restores backups of one database. ``clock`` returns the time in UTC seconds.

    ``environ`` supplies libpq with parameters that are missing in ``dsn``; ``schema`` is the text
    of schema.sql.
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
        """Write a backup; return its manifest. Raises SchemaMissing if the schema is missing."""
        event = self._event(EventKind.BACKED_UP)
        return write_backup(self._dsn, self._environ, target, event)

    def count_replaced(self) -> Mapping[str, int]:
        """Return how many users, clients and valid tokens a restore would replace."""
        return count_replaced(self._dsn)

    def restore(self, archive: Archive, *, may_replace: bool, keeps_tokens: bool) -> RestoreResult:
        """Replace the database with a backup; raises DatabaseNotEmpty if it may not."""
        options = RestoreOptions(
            schema=self._schema,
            event=self._event(EventKind.RESTORED),
            may_replace=may_replace,
            keeps_tokens=keeps_tokens,
            kinds=_STATES,
        )
        return restore(self._dsn, archive, options)

    def _event(self, kind: EventKind) -> NewEvent:
        at = datetime.fromtimestamp(self._clock(), UTC)
        actor = self._origin.actor
        return NewEvent(at=at, kind=kind, outcome=kind.outcome, actor=actor)

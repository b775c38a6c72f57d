"""Backups of the database, and what becomes of tokens and users when one is restored.

A backup knows nothing of what was revoked, deleted or disabled after it. So a restore ends every
token, unless it is told that nothing was; and it names the users that it brought back though they
had been deleted or disabled, as far as the database that it replaces tells.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import BinaryIO

from db.rows import NewEvent
from postgres.archives import Archive, Manifest
from postgres.backup import write_backup
from postgres.restore import RestoreOptions, RestoreResult, restore
from rules.origin import LocalOrigin
from services.audit import Kind

_STATES = (Kind.DELETED, Kind.DISABLED, Kind.ENABLED)


class Backups:
    """Writes and restores backups of one database. ``clock`` returns the time in UTC seconds.

    ``environ`` is where libpq finds what the dsn leaves open, ``schema`` the text of schema.sql.
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
        """Write a backup; return what is in it. Raises SchemaMissing where there is no schema."""
        event = self._event(Kind.BACKED_UP)
        return write_backup(self._dsn, self._environ, target, event)

    def restore(self, archive: Archive, *, may_replace: bool, keeps_tokens: bool) -> RestoreResult:
        """Replace the database with a backup; raises DatabaseNotEmpty where it may not."""
        options = RestoreOptions(
            schema=self._schema,
            event=self._event(Kind.RESTORED),
            may_replace=may_replace,
            keeps_tokens=keeps_tokens,
            kinds=_STATES,
        )
        return restore(self._dsn, archive, options)

    def _event(self, kind: Kind) -> NewEvent:
        at = datetime.fromtimestamp(self._clock(), UTC)
        actor = self._origin.actor
        return NewEvent(at=at, kind=kind, outcome=kind.outcome, actor=actor)

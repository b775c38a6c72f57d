"""The dependencies that all services share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from db.lookups import Lookups
from db.pool import Database
from services.audit import AuditTrail


@dataclass(frozen=True, slots=True)
class Core:
    """The database, its lookups, the audit trail, and the time in UTC seconds."""

    database: Database
    lookups: Lookups
    audit: AuditTrail
    clock: Callable[[], float]

    def now(self) -> datetime:
        """Return the current time."""
        return datetime.fromtimestamp(self.clock(), UTC)

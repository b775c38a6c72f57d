"""The lock under which one process at a time looks at the schema, and who is to be waited for."""

from collections.abc import Sequence
from dataclasses import dataclass

from db.rows import Row

# Any number will do, as long as nothing else in the database locks it: "user" in ASCII.
LOCK = 0x75736572
TAKE = "SELECT pg_advisory_xact_lock(%s)"
SET_STEP = "SELECT set_config('lock_timeout', %s, true)"
# The key of an advisory lock of 64 bits stands in two columns.
FIND_HOLDER = """
SELECT
    l.pid, a.usename::text, a.application_name,
    a.usename = current_user AND a.application_name = 'userauth'
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.classid = 0::oid AND l.objid = %s::oid
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that holds the lock: its process, its role, and what it calls itself."""

    pid: int
    role: str | None
    program: str | None
    is_ours: bool

    def __str__(self) -> str:
        return f"process {self.pid} of the role {self.role!r}, application {self.program!r}"


def holder_in(rows: Sequence[Row]) -> Holder | None:
    """Return what FIND_HOLDER found; None where the lock was released meanwhile."""
    if not rows:
        return None
    pid, role, program, is_ours = rows[0]
    return Holder(pid, role, program, bool(is_ours))


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds a holder is waited for, and after how many it is looked at anew.

    A process of ours may migrate large tables, or restore a backup; nobody else needs this lock.
    """

    ours: float = 600.0
    others: float = 60.0
    step: float = 5.0

    @property
    def milliseconds(self) -> str:
        """Return the step as lock_timeout takes it."""
        return str(int(self.step * 1000))

    def is_over(self, holder: Holder | None, waited: float) -> bool:
        """Tell whether a holder was waited for long enough."""
        return waited >= (self.ours if holder is None or holder.is_ours else self.others)


PATIENCE = Patience()


def refusal(holder: Holder | None) -> str:
    """Return why it is waited no longer, and what to do."""
    if holder is None:
        return "The lock of the schema is held by one session after the other: start again later."
    return (
        f"The lock of the schema is held by {holder}: end that session, by"
        f" pg_terminate_backend({holder.pid}), and let no other role connect to this database:"
        " REVOKE CONNECT ON DATABASE … FROM PUBLIC."
    )

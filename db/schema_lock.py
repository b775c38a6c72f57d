"""The lock that serializes checks and changes of the schema, and the wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from db.rows import Row

# An arbitrary number that nothing else in the database locks: "user" in ASCII.
LOCK = 0x75736572
TAKE_LOCK = "SELECT pg_advisory_xact_lock(%s)"
SET_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %s, true)"
# pg_locks splits the 64-bit key of an advisory lock into two columns.
FIND_HOLDER = """
SELECT
    l.pid, a.usename::text, a.application_name,
    a.usename = session_user AND a.application_name = 'userauth'
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.classid = 0::oid AND l.objid = %s::oid
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A session that holds the lock: its process, its role, and its application name."""

    pid: int
    role: str | None
    application: str | None
    is_userauth: bool

    def __str__(self) -> str:
        return f"process {self.pid} of the role {self.role!r}, application {self.application!r}"


def read_holder(rows: Sequence[Row]) -> LockHolder | None:
    """Return what FIND_HOLDER found, or None if the lock was released meanwhile."""
    if not rows:
        return None
    pid, role, application, is_userauth = rows[0]
    return LockHolder(pid, role, application, bool(is_userauth))


@dataclass(frozen=True, slots=True)
class LockWait:
    """The maximum wait in seconds, by the holder, and the interval of checks for the holder.

    A process of userauth may be migrating large tables, or restoring a backup; no other
    application needs this lock.
    """

    userauth_seconds: float = 600.0
    other_seconds: float = 60.0
    check_seconds: float = 5.0

    @property
    def lock_timeout(self) -> str:
        """Return the interval of checks as a value of lock_timeout."""
        return str(int(self.check_seconds * 1000))

    def has_ended(self, holder: LockHolder | None, waited_seconds: float) -> bool:
        """Return whether the wait for a holder has reached its maximum."""
        is_userauth = holder is None or holder.is_userauth
        return waited_seconds >= (self.userauth_seconds if is_userauth else self.other_seconds)


LOCK_WAIT = LockWait()


def timeout_message(holder: LockHolder | None) -> str:
    """Return why the wait ended, and what to do."""
    if holder is None:
        return "The lock of the schema is held by one session after another: start again later."
    return (
        f"The lock of the schema is held by {holder}: end that session with"
        f" pg_terminate_backend({holder.pid}), and let no other role connect to this database:"
        " REVOKE CONNECT ON DATABASE … FROM PUBLIC."
    )

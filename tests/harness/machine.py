"""Debian machines with a running systemd, in namespaces of this one; root alone can boot them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.harness.configuration import ROOT
from tests.harness.environment_variables import for_downloads
from tests.harness.programs import get_program

# `make clean` removes it.
CACHE = ROOT / ".machines"
_MIRROR = "http://deb.debian.org/debian"
_PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,git,procps"
_WHEELS = "/root/wheels"
_PIP = f"[global]\nno-index = true\nfind-links = {_WHEELS}\n"
_BOOT = ROOT / "tests" / "harness" / "boot_systemd.sh"
_NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--cgroup")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOOT_SECONDS = 60


class Machine:
    """A machine whose disk is a directory; its network and its ports are the host's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._log = root.with_suffix(".log")
        self._booted: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Boot systemd; return when all units have started."""
        with self._log.open("ab") as log:
            self._booted = subprocess.Popen(
                [*("unshare", "--fork"), *_NAMESPACES, str(_BOOT), str(self.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _BOOT_SECONDS
        while (state := self._state()) not in {"running", "degraded"}:
            is_late = time.monotonic() > deadline or self._booted.poll() is not None
            assert not is_late, f"{state}: {self._log.read_text(encoding='utf-8')}"
            time.sleep(0.2)

    def run(
        self, *command: str, check: bool = True, seconds: float = 120
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in the booted machine."""
        entered = ["nsenter", f"--target={self._init().pid}", *_NAMESPACES, "env", "-i", _PATH]
        ended = subprocess.run(
            [*entered, "HOME=/root", "LANG=C.UTF-8", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        assert ended.returncode == 0 or not check, f"{command}: {ended.stdout}{ended.stderr}"
        return ended

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Write a file, and create its parent directories."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def cut_power(self) -> None:
        """Kill every process at once. What the kernel had not yet written to the disk is kept."""
        self._init().send_signal(signal.SIGKILL)
        self._wait()

    def power_off(self) -> None:
        """Stop the machine, if it runs."""
        if self._booted is None:
            return
        try:
            self.run("systemctl", "poweroff", check=False)
            self._wait()
        except subprocess.TimeoutExpired:
            self.cut_power()

    def _state(self) -> str:
        if not self._children():
            return "not started"
        return self.run("systemctl", "is-system-running", check=False).stdout.strip()

    def _children(self) -> list[psutil.Process]:
        assert self._booted is not None, "the machine is off"
        return psutil.Process(self._booted.pid).children()

    def _init(self) -> psutil.Process:
        [init] = self._children()
        return init

    def _wait(self) -> None:
        assert self._booted is not None, "the machine is off"
        self._booted.wait(60)
        self._booted = None


@contextmanager
def new_machine(suite: str) -> Iterator[Machine]:
    """Yield a machine of a Debian release, not yet booted; power it off and delete it afterwards.

    It has a checkout of this project in /root/userauth.
    """
    assert os.geteuid() == 0, "only root can boot a machine"
    CACHE.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="run-", dir=CACHE) as folder:
        machine = make_tree(suite, Path(folder) / "root")
        copy_checkout(machine.root / "root" / "userauth")
        try:
            yield machine
        finally:
            machine.power_off()


def make_tree(suite: str, root: Path) -> Machine:
    """Make a machine of a Debian release whose pip installs the server's packages offline."""
    pristine = CACHE / suite
    if not pristine.exists():
        _make_tree(suite, pristine)
    _run("cp", "--archive", "--reflink=auto", str(pristine), str(root))
    shutil.copytree(_wheels_for(root), root / _WHEELS.lstrip("/"))
    machine = Machine(root)
    machine.write("/etc/pip.conf", _PIP)
    return machine


def _make_tree(suite: str, target: Path) -> None:
    CACHE.mkdir(exist_ok=True)
    unfinished = target.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    options = ("--variant=minbase", f"--include={_PACKAGES}")
    _run(get_program("debootstrap"), *options, suite, str(unfinished), _MIRROR, **for_downloads())
    # There is no console to log in at.
    getty = unfinished / "etc" / "systemd" / "system" / "console-getty.service"
    getty.symlink_to("/dev/null")
    unfinished.rename(target)


def _wheels_for(root: Path) -> Path:
    """Download the server's packages for the machine's Python, with this machine's pip."""
    show = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = _run("chroot", str(root), "python3", "-c", show).strip()
    wheels = CACHE / f"wheels-{version}"
    _run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"),
        *("--require-hashes", "--requirement", str(ROOT / "requirements.lock")),
        *(f"--python-version={version}", f"--dest={wheels}"),
        **for_downloads(),
    )
    return wheels


def copy_checkout(target: Path) -> None:
    """Copy the files of this checkout, with changes that are not committed, as a git repository."""
    git = get_program("git")
    wanted = ("-z", "--cached", "--others", "--exclude-standard")
    for name in _run(git, "-C", str(ROOT), "ls-files", *wanted).rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    _run(git, "-C", str(target), "init", "--quiet")
    _run(git, "-C", str(target), "add", "--all")


def _run(*command: str, **variables: str) -> str:
    ended = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout

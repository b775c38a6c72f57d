"""The programs that tests run besides Python, and the Debian or Ubuntu packages they come from.

``python3 -m tests.harness.programs`` installs those that are missing. It runs before the virtual
environment exists, so it imports the standard library alone.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

INSTALL_COMMAND = "sudo make programs"
# Debian's PATH of a user without root's rights lacks the sbin folders.
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
# Where Debian installs the packages of Node.
NODE_MODULES = "/usr/share/nodejs"
_POLICY = Path("/usr/sbin/policy-rc.d")
# Without the second line, it would be the policy of Docker's images of Ubuntu.
_DENY_ALL = "#!/bin/sh\n# Written by make programs of userauth\nexit 101\n"
_SUDO_TEST = ("sudo", "-n", "true")
# On a machine that has just booted, unattended-upgrades holds the lock of dpkg for minutes. For the
# lock of the package lists, `apt-get update` knows no timeout.
_WAIT = ("-o", "DPkg::Lock::Timeout=300")
# Systemd, a closed terminal and Ctrl-C send these.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_received: list[int] = []
# Set by the plugin tests.harness.needs to what the running test declares; None outside tests.
declared: frozenset[str] | None = None


@dataclass(frozen=True)
class Program:
    """A program, its package, and the service that the package enables."""

    package: str
    service: str | None = None
    # Where it is installed, if not in a folder of PATH.
    pattern: str | None = None


PROGRAMS = {
    "buildah": Program("buildah"),
    "caddy": Program("caddy", service="caddy.service"),
    "chromedriver": Program("chromium-driver"),
    "chromium": Program("chromium"),
    "curl": Program("curl"),
    "debootstrap": Program("debootstrap"),
    "etcd": Program("etcd-server", service="etcd.service"),
    "express": Program("node-express", pattern=f"{NODE_MODULES[1:]}/express/package.json"),
    "git": Program("git"),
    "haproxy": Program("haproxy", service="haproxy.service"),
    "initdb": Program(
        "postgresql", service="postgresql.service", pattern="usr/lib/postgresql/*/bin/initdb"
    ),
    "nginx": Program("nginx-light", service="nginx.service"),
    "node": Program("nodejs"),
    "npm": Program("npm"),
    "openssl": Program("openssl"),
    "pgbouncer": Program("pgbouncer", service="pgbouncer.service"),
    "promtool": Program("prometheus", service="prometheus.service"),
    "systemd-analyze": Program("systemd"),
    "systemd-socket-activate": Program("systemd"),
}


def find_program(name: str) -> Path | None:
    """Return the path of a program; None if it is not installed."""
    pattern = PROGRAMS[name].pattern
    if pattern is not None:
        return max(Path("/").glob(pattern), default=None)
    found = shutil.which(name, path=SEARCH_PATH)
    return None if found is None else Path(found)


def get_program(name: str) -> str:
    """Return the path of a program that the running test declares to need."""
    assert declared is None or name in declared, f"the test lacks needs({name!r})"
    found = find_program(name)
    assert found is not None, f"{name} is missing. To install: {INSTALL_COMMAND}"
    return str(found)


def install(names: Sequence[str]) -> None:
    """Install the packages of programs; their services are neither started nor enabled."""
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    # If one of the sources is broken, the packages may come from the others.
    _run([*apt, "update"], check=False)
    packages = sorted({PROGRAMS[name].package for name in names})
    # apt-get installs all or none, and Ubuntu has Chromium only as a snap.
    available = [package for package in packages if _is_real_package(package)]
    _exit_if_signalled()
    with _services_denied(root):
        _run([*apt, "install", *_WAIT, "--yes", "--no-install-recommends", *available])
    _disable_services(root, [name for name in names if PROGRAMS[name].package in available])


@contextmanager
def _services_denied(root: Sequence[str]) -> Iterator[None]:
    """Let no package start a service: tests start what they need themselves."""
    if _has_other_policy():
        yield
        return
    try:
        _run([*root, "tee", str(_POLICY)], stdin=_DENY_ALL)
        _run([*root, "chmod", "755", str(_POLICY)])
        yield
    finally:
        _run([*root, "rm", "--force", str(_POLICY)])


def _has_other_policy() -> bool:
    """Return whether the machine has a policy that no earlier run left behind."""
    try:
        return _POLICY.read_bytes() != _DENY_ALL.encode()
    except FileNotFoundError:
        return False
    except PermissionError:
        return True


def _disable_services(root: Sequence[str], names: Iterable[str]) -> None:
    """Keep the installed services from starting at the next boot."""
    services = [service for name in names if (service := PROGRAMS[name].service)]
    if services and shutil.which("systemctl"):
        _run([*root, "systemctl", "--quiet", "disable", *services])


def _run(command: Sequence[str], *, stdin: str = "", check: bool = True) -> None:
    # A timeout would kill apt-get but not dpkg. A terminal's signals do not reach a new session.
    subprocess.run(
        command,
        input=stdin,
        text=True,
        stdout=subprocess.DEVNULL,
        check=check,
        start_new_session=True,
    )


def _is_real_package(name: str) -> bool:
    # In Ubuntu, chromium-driver is the virtual name of a package that installs the snap.
    shown = subprocess.run(
        [*("apt-cache", "show", name)], capture_output=True, text=True, check=False
    )
    return shown.stdout.startswith("Package: ")


def _succeeds(command: Sequence[str]) -> bool:
    # In a new session, as in _run, sudo has no terminal whose password it remembers.
    ended = subprocess.run(command, capture_output=True, check=False, start_new_session=True)
    return ended.returncode == 0


def _may_install() -> bool:
    if shutil.which("apt-get") is None:
        return False
    return os.geteuid() == 0 or (shutil.which("sudo") is not None and _succeeds(_SUDO_TEST))


def _missing() -> list[str]:
    return [name for name in PROGRAMS if find_program(name) is None]


def _note_signals() -> None:
    """Let signals interrupt nothing, and note all but those already ignored, as under nohup."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _note)


def _note(number: int, _frame: FrameType | None) -> None:
    _received.append(number)


def _exit_if_signalled() -> None:
    if _received:
        sys.exit(128 + _received[0])


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Install the missing programs; return 1 if some are still missing."""
    if not (names := _missing()):
        return 0
    if _may_install():
        _note_signals()
        _say(f"Installing packages for {', '.join(names)}. This cannot be interrupted.")
        try:
            install(names)
        except subprocess.SubprocessError as error:
            _say(str(error))
        _exit_if_signalled()
    if names := _missing():
        _say(f"Missing: {', '.join(names)}. To install: {INSTALL_COMMAND}")
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())

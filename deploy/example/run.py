"""Run an application without users of its own, userauth, and nginx in front of both.

    make example

Everything listens on 127.0.0.1, over plain HTTP; nothing is installed. Interrupt it to stop. All
files are written to var/.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.request import urlopen

_EXAMPLE = Path(__file__).resolve().parent
_ROOT = _EXAMPLE.parents[1]
_SECONDS = 60
_MAX_PORT = 65_535


def main() -> int:
    """Run the three programs until one of them exits, or until interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ports = _arguments()
    _check_ports(ports)
    # Not 127.0.0.1: browsers treat localhost as secure. Cookies do not depend on the port.
    url = f"http://localhost:{ports.port}"
    folder = _ROOT / "var" / "example" / str(ports.port)
    nginx = _nginx_command(folder, ports)
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(ports.userauth_port),
        "USERAUTH_SERVER__PUBLIC_URL": url,
        "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1/32",
    }
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        programs = [
            _start(stack, [sys.executable, str(_ROOT / "server.py")], settings),
            _start(stack, [sys.executable, str(_EXAMPLE / "app.py"), str(ports.application_port)]),
            _start(stack, nginx),
        ]
        if not _is_ready(programs, f"http://127.0.0.1:{ports.userauth_port}/health/ready"):
            sys.exit("The programs did not become ready: see above.")
        sys.stdout.write(f"Open {url}/ in a browser.\n")
        sys.stdout.flush()
        while all(program.poll() is None for program in programs):
            time.sleep(0.2)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--port", type=_port, default=8080, help="of nginx")
    parser.add_argument("--userauth-port", type=_port, default=8000)
    parser.add_argument("--application-port", type=_port, default=9000)
    return parser.parse_args()


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_PORT:
        raise argparse.ArgumentTypeError(f"must be 1 to {_MAX_PORT}")
    return int(text)


def _check_ports(ports: argparse.Namespace) -> None:
    """Exit if a port is in use: the server on that of userauth would seem to be the new one."""
    for name, port in vars(ports).items():
        try:
            with socket.socket() as probe:
                # As nginx and userauth do; a connection that was closed does not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError as error:
            hint = " (perhaps `make serve`)" if name == "userauth_port" else ""
            sys.exit(
                f"Port {port}: {error.strerror}. Stop the program that listens on it{hint}, or"
                f" choose another port: {sys.executable} deploy/example/run.py"
                f" --{name.replace('_', '-')}=PORT"
            )


def _nginx_command(folder: Path, ports: argparse.Namespace) -> Sequence[str]:
    """Write the configuration of nginx; return the command that runs it."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        sys.exit("nginx is missing: sudo apt install nginx-light")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(_EXAMPLE / "nginx.conf", folder)
    (folder / "site.conf").write_text(_site(ports), encoding="utf-8")
    return [program, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def _site(ports: argparse.Namespace) -> str:
    """Return the sample configuration of nginx, changed to plain HTTP on this machine."""
    site = (_EXAMPLE.parent / "nginx.conf").read_text(encoding="utf-8")
    site = re.sub(r"^ +ssl_certificate.*\n", "", site, flags=re.MULTILINE)
    for shown, real in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{ports.port};"),
        ("server_name auth.example.com;", "server_name localhost;"),
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{ports.userauth_port};"),
        ("server 127.0.0.1:9000;", f"server 127.0.0.1:{ports.application_port};"),
    ):
        site = site.replace(shown, real)
    return site


def _start(
    stack: ExitStack, command: Sequence[str], settings: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a program that is stopped at the end; interrupts are sent to this process only."""
    process = subprocess.Popen(
        command, env={**os.environ, **(settings or {})}, start_new_session=True
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def _is_ready(programs: Sequence["subprocess.Popen[bytes]"], url: str) -> bool:
    """Wait for the server; return False if it takes too long, or if a program exits before."""
    deadline = time.monotonic() + _SECONDS
    while all(program.poll() is None for program in programs) and time.monotonic() < deadline:
        with suppress(OSError), urlopen(url, timeout=5):  # noqa: S310 - http
            return True
        time.sleep(0.1)
    return False


if __name__ == "__main__":
    sys.exit(main())

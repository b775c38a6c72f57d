"""nginx, Caddy and Traefik with the sample configurations."""

import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

from tests.harness.configuration import ROOT
from tests.harness.processes import free_port, listening
from tests.harness.programs import get_program

_SECONDS = 20


def nginx_command(folder: Path, site: str, *, workers: str = "1") -> list[str]:
    """Write a configuration with the nginx sample; return the command that starts it."""
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; worker_processes {workers}; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{paths}{site}}}\n"
    )
    return [get_program("nginx"), "-p", str(folder), "-c", str(configuration)]


def caddy_command(folder: Path, site: str) -> list[str]:
    """Write the Caddy sample; return the command that starts it."""
    configuration = folder / "Caddyfile"
    configuration.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n\n{site}")
    return [get_program("caddy"), "run", "--adapter", "caddyfile", "--config", str(configuration)]


def traefik_command(folder: Path, site: str, port: int) -> list[str]:
    """Write the Traefik sample; return the command that starts it."""
    configuration = folder / "traefik.yml"
    configuration.write_text(site)
    return [
        # A package of PyPI installs it beside Python.
        str(Path(sys.executable).with_name("traefik")),
        f"--entryPoints.websecure.address=127.0.0.1:{port}",
        f"--providers.file.filename={configuration}",
        "--providers.file.watch=false",
        # By default, a second part of the configuration waits 2 s after the first.
        "--providers.providersThrottleDuration=50ms",
        "--global.checkNewVersion=false",
        "--global.sendAnonymousUsage=false",
    ]


@contextmanager
def running_proxy(
    sample: str,
    folder: Path,
    userauth: str,
    service: int,
    files: tuple[Path, Path],
    *,
    changed: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Run a proxy with a sample, its addresses and certificate filled in; yield its URL.

    ``changed`` has texts of the sample, and what replaces each.
    """
    port = free_port()
    certificate, key = files
    host = "auth.example.com"
    text = (ROOT / "deploy" / sample).read_text(encoding="utf-8")
    for shown, real in (
        *(changed or {}).items(),
        ("127.0.0.1:8000", userauth.removeprefix("http://")),
        ("127.0.0.1:9000", f"127.0.0.1:{service}"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        (f"/etc/letsencrypt/live/{host}/fullchain.pem", str(certificate)),
        (f"/etc/letsencrypt/live/{host}/privkey.pem", str(key)),
        # In production Caddy obtains the certificate.
        (f"{host} {{", f"https://localhost:{port} {{\n\ttls {certificate} {key}"),
        (host, "localhost"),
    ):
        text = text.replace(shown, real)
    with (folder / "proxy.log").open("w") as log:
        process = subprocess.Popen(
            _command(sample, folder, text, port),
            stdout=log,
            stderr=log,
            env={"HOME": str(folder), "XDG_DATA_HOME": str(folder)},
        )
    url = f"https://localhost:{port}"
    with listening(process, port):
        _wait_for_routes(url, certificate)
        yield url


def _command(sample: str, folder: Path, text: str, port: int) -> list[str]:
    if sample == "traefik.yml":
        return traefik_command(folder, text, port)
    command = nginx_command if sample == "nginx.conf" else caddy_command
    return command(folder, text)


def _wait_for_routes(url: str, certificate: Path) -> None:
    """Wait until a proxy forwards requests: Traefik listens before it reads its configuration."""
    context = ssl.create_default_context(cafile=str(certificate))
    deadline = time.monotonic() + _SECONDS
    while True:
        page = f"{url}/docs/problems.md"
        with suppress(OSError), urlopen(page, context=context, timeout=5):  # noqa: S310 - https
            return
        assert time.monotonic() < deadline, "the proxy does not forward requests"
        time.sleep(0.05)

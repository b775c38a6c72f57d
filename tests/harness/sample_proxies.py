"""nginx and Caddy with the sample configurations."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.harness.configuration import ROOT
from tests.harness.processes import free_port, listening
from tests.harness.programs import get_program


def nginx_command(folder: Path, site: str) -> list[str]:
    """Write a configuration with the nginx sample; return the command that starts it."""
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{paths}{site}}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(configuration)]


def caddy_command(folder: Path, site: str) -> list[str]:
    """Write the Caddy sample; return the command that starts it."""
    configuration = folder / "Caddyfile"
    configuration.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n\n{site}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(configuration)]


PROXIES = {"nginx.conf": nginx_command, "Caddyfile": caddy_command}


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
    name, *arguments = PROXIES[sample](folder, text)
    with (folder / "proxy.log").open("w") as log:
        process = subprocess.Popen(
            [get_program(name), *arguments],
            stdout=log,
            stderr=log,
            env={"HOME": str(folder), "XDG_DATA_HOME": str(folder)},
        )
    with listening(process, port):
        yield f"https://localhost:{port}"

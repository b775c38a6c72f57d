"""nginx with the sample in deploy/, in front of one or several server processes."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.listening import wait_until_listening
from bench.paths import ROOT
from bench.processes import BenchError, running
from tests.harness.processes import free_port
from tests.harness.sample_proxies import nginx_command

# The lines of the upstream for one process, and for several.
_ONE_PROCESS = "server 127.0.0.1:8000;"
_SEVERAL = re.compile(r"^#   (server 127\.0\.0\.1:)\d+( .*;)$", re.MULTILINE)
_TLS = re.compile(r"^ +ssl_certificate.*\n", re.MULTILINE)


@contextmanager
def running_nginx(name: str, ports: Sequence[int]) -> Iterator[int]:
    """Run nginx in front of servers on these ports; yield its own port.

    It has no TLS, which would use CPU time of the servers, as they share the cores.
    """
    port = free_port()
    with TemporaryDirectory() as created:
        folder = Path(created)
        # Its workers run as another user.
        folder.chmod(0o755)
        command = nginx_command(folder, site(port, ports), workers="auto")
        with running(command, log=name) as process:
            wait_until_listening(process, port, name)
            yield port


def site(port: int, ports: Sequence[int]) -> str:
    """Return the sample with the ports of nginx and of the servers behind it."""
    text = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    line = _SEVERAL.search(text)
    if line is None or _ONE_PROCESS not in text:
        raise BenchError(
            "The upstreams of deploy/nginx.conf have changed: adapt bench/load/nginx.py."
        )
    servers = [f"{line[1]}{each}{line[2]}" for each in ports]
    if len(ports) == 1:
        servers = [_ONE_PROCESS.replace("8000", str(ports[0]))]
    return (
        _TLS.sub("", text)
        .replace(_ONE_PROCESS, "\n    ".join(servers))
        .replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    )

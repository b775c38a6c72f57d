"""Several server processes behind nginx with the sample: the balance, and a rolling restart."""

import re
import ssl
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.harness.api import PASSWORD
from tests.harness.certificates import make_certificate
from tests.harness.configuration import ROOT
from tests.harness.load import Load
from tests.harness.processes import ServerProcess, free_port, free_ports, running_server
from tests.harness.protected_site import TRUSTED
from tests.harness.sample_proxies import running_proxy
from tests.harness.scraping import read, read_now

pytestmark = pytest.mark.needs("nginx", "openssl")
ACCOUNT = ("susan@example.com", PASSWORD)


class Processes:
    """Two server processes with the same settings, except their number."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.ports, self.metrics = free_ports(2), free_ports(2)
        self._folder = folder
        self._stacks: dict[int, ExitStack] = {}
        self._variables = {
            "DATABASE_URL": dsn,
            "PORT": str(self.ports),
            "USERAUTH_SERVER__PROCESSES": "2",
            "USERAUTH_METRICS__PORT": str(self.metrics),
            **TRUSTED,
        }

    def start(self, number: int) -> ServerProcess:
        variables = self._variables | {"USERAUTH_SERVER__INSTANCE": str(number)}
        self._stacks[number] = stack = ExitStack()
        return stack.enter_context(running_server(variables, self._folder / f"log-{number}"))

    def stop(self, number: int) -> None:
        self._stacks.pop(number).close()

    def requests(self) -> list[float]:
        """Return how many requests with a token each process has answered."""
        texts = [read_now(f"http://127.0.0.1:{self.metrics + n}/metrics") for n in (1, 2)]
        return [read(text).value("userauth_requests_total", route="/api/user") for text in texts]


def new_token(url: str, tls: ssl.SSLContext) -> str:
    with httpx.Client(base_url=url, verify=tls) as client:
        account = dict(zip(("email", "password"), ACCOUNT, strict=True))
        assert client.post("/api/user/register", json=account).status_code == 201
        token: str = client.post("/api/user/login", auth=ACCOUNT).json()["token"]
        return token


def test_nginx_balances_processes_and_a_restart_of_each_fails_no_request(
    dsn: str, tmp_path: Path
) -> None:
    processes = Processes(dsn, tmp_path)
    # The lines that the sample shows, with free ports.
    text = (ROOT / "deploy/nginx.conf").read_text(encoding="utf-8")
    lines = re.findall(r"^#   (server 127\.0\.0\.1):800(\d)(.*;)$", text, re.MULTILINE)
    servers = [f"{start}:{processes.ports + int(n)}{end}" for start, n, end in lines]
    assert len(servers) == 2
    files = make_certificate(tmp_path / "tls")
    with ExitStack() as stack:
        for number in (1, 2):
            processes.start(number)
            stack.callback(processes.stop, number)
        url = stack.enter_context(
            running_proxy(
                *("nginx.conf", tmp_path, "", free_port(), files),
                changed={"server 127.0.0.1:8000;": "\n".join(servers)},
            )
        )
        tls = ssl.create_default_context(cafile=str(files[0]))
        load = Load(f"{url}/api/user", {"Authorization": f"Bearer {new_token(url, tls)}"}, tls=tls)
        with load:
            load.wait_for_more()
            first, second = processes.requests()
            assert 0.45 <= first / (first + second) <= 0.55
            for number in (1, 2):
                processes.stop(number)
                processes.start(number)
                load.wait_for_more()
        assert set(load.outcomes) == {"200"}, load.outcomes
        assert min(processes.requests()) > 0

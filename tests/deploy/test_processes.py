"""Several server processes behind the sample proxies: the balance, and a rolling restart."""

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
from tests.harness.stub_server import http_response, stub_server

pytestmark = pytest.mark.needs("openssl")
CADDY_DIRECTIVES = ("reverse_proxy", "forward_auth")
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

    def requests(self, route: str = "/api/user") -> list[float]:
        """Return how many requests of a route each process has answered."""
        texts = [read_now(f"http://127.0.0.1:{self.metrics + n}/metrics") for n in (1, 2)]
        return [read(text).value("userauth_requests_total", route=route) for text in texts]


def new_token(url: str, tls: ssl.SSLContext) -> str:
    with httpx.Client(base_url=url, verify=tls, timeout=30) as client:
        account = dict(zip(("email", "password"), ACCOUNT, strict=True))
        assert client.post("/api/user/register", json=account).status_code == 201
        token: str = client.post("/api/user/login", auth=ACCOUNT).json()["token"]
        return token


@pytest.mark.needs("nginx")
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
            # So many that those that end between the two readings do not matter.
            load.wait_for_more(1_000)
            first, second = processes.requests()
            assert 0.45 <= first / (first + second) <= 0.55
            for number in (1, 2):
                processes.stop(number)
                processes.start(number)
                load.wait_for_more()
        assert set(load.outcomes) == {"200"}, load.outcomes
        assert min(processes.requests()) > 0


def lines_for_two(sample: str, ports: int) -> dict[str, str]:
    """Return what a sample has for one process, and what it shows for two, with other ports."""
    text = (ROOT / "deploy" / sample).read_text(encoding="utf-8")
    if sample == "Caddyfile":
        [shown] = re.findall(r"^#   (127.*)\n", text, re.MULTILINE)
        changed = {f"{name} 127.0.0.1:8000": f"{name} {shown}" for name in CADDY_DIRECTIVES}
    else:
        urls = re.findall(r"^ +#   (- url: .*\n)", text, re.MULTILINE)
        changed = {
            "          - url: http://127.0.0.1:8000\n": "".join(f"          {url}" for url in urls),
            "address: http://127.0.0.1:8000/": "address: http://127.0.0.1:8001/",
        }
    assert all(text.count(one) == 1 for one in changed)
    return {
        one: re.sub(r":800([12])\b", lambda found: f":{ports + int(found[1])}", two)
        for one, two in changed.items()
    }


@pytest.mark.parametrize(
    # Caddy chooses at random.
    ("sample", "least"),
    [pytest.param("Caddyfile", 0.3, marks=pytest.mark.needs("caddy")), ("traefik.yml", 0.45)],
)
def test_the_lines_of_a_sample_for_several_processes_balance_them(
    sample: str, least: float, dsn: str, tmp_path: Path
) -> None:
    processes = Processes(dsn, tmp_path)
    files = make_certificate(tmp_path / "tls")
    with ExitStack() as stack:
        for number in (1, 2):
            processes.start(number)
            stack.callback(processes.stop, number)
        service = stack.enter_context(stub_server(http_response(200)))
        port = int(service.url.rpartition(":")[2])
        changed = lines_for_two(sample, processes.ports)
        url = stack.enter_context(running_proxy(sample, tmp_path, "", port, files, changed=changed))
        tls = ssl.create_default_context(cafile=str(files[0]))
        token = {"Authorization": f"Bearer {new_token(url, tls)}"}
        with httpx.Client(base_url=url, verify=tls, headers=token, timeout=30) as client:
            for path in ("/api/user", "/"):
                assert {client.get(path).status_code for _ in range(200)} == {200}
        first, second = processes.requests()
        assert least <= first / (first + second) <= 1 - least
        # Traefik asks one process for all.
        verified = processes.requests("/api/verify")
        assert min(verified) > 0 or sample == "traefik.yml"

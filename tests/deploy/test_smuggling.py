"""Requests with an ambiguous end through nginx and Caddy: both sides read the same, or reject."""

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.certificates import make_certificate
from tests.harness.processes import free_port, running_server
from tests.harness.raw_http import SECONDS, raw_request
from tests.harness.sample_proxies import running_proxy
from tests.harness.smuggling import CASES
from tests.harness.sql import run_sql

pytestmark = pytest.mark.needs("openssl")
VARIABLES = {
    "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1/32",
    # A rejected chunk or an incomplete body would otherwise delay the test.
    "USERAUTH_LIMITS__BODY_TIMEOUT_SECONDS": "1",
}
LAST = raw_request("GET", "/api/user", close=True)
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2}) ")


class Site:
    """A proxy in front of a server."""

    def __init__(self, url: str, certificate: Path) -> None:
        self._port = urlsplit(url).port or 0
        self._context = ssl.create_default_context(cafile=str(certificate))

    def exchange(self, sent: bytes) -> bytes:
        """Send bytes on a new connection; return what comes back until it is closed."""
        plain = socket.create_connection(("127.0.0.1", self._port), SECONDS)
        with closing(self._context.wrap_socket(plain, server_hostname="localhost")) as connection:
            received = b""
            with suppress(ConnectionError, ssl.SSLError):
                connection.sendall(sent.replace(b"Host: example.com", b"Host: localhost"))
                while data := connection.recv(65536):
                    received += data
            return received


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("nginx.conf", marks=pytest.mark.needs("nginx")),
        pytest.param("Caddyfile", marks=pytest.mark.needs("caddy")),
    ],
)
def site(
    request: pytest.FixtureRequest, postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    files = make_certificate(folder / "tls")
    with (
        running_server({"DATABASE_URL": postgres, **VARIABLES}, folder / "log") as server,
        running_proxy(request.param, folder, server.url, free_port(), files) as url,
    ):
        yield Site(url, files[0])
        assert "Traceback" not in server.written()


@pytest.mark.parametrize("name", CASES)
def test_no_response_is_missing_and_none_reaches_another_client(
    site: Site, dsn: str, name: str
) -> None:
    statuses = _STATUS.findall(site.exchange(CASES[name] + LAST))
    # A hidden request that runs is one that the client sees a response to.
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(statuses.count(b"201"),)]
    # The proxy uses its connections to the server for other clients as well.
    for number in range(2):
        own = f"client-{number}"
        answer = site.exchange(raw_request("GET", "/api/user", f"X-Request-ID: {own}", close=True))
        assert _STATUS.findall(answer) == [b"401"]
        assert f"X-Request-ID: {own}\r\n".lower() in answer.decode("latin-1").lower()

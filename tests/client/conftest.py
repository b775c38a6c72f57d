"""A server process for each test module; both clients for each test."""

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import certifi
import pytest

from tests.harness.client_drivers import DRIVERS, DrivenClient, Driver
from tests.harness.command_line import manage
from tests.harness.processes import running_server
from userauth_client import UserAuthClient


@pytest.fixture(scope="module")
def running_url(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a server; yield its URL."""
    with running_server(
        {"DATABASE_URL": postgres}, tmp_path_factory.mktemp("client") / "log"
    ) as server:
        yield server.url


@pytest.fixture
def url(running_url: str, dsn: str) -> str:  # noqa: ARG001 - it empties the database
    """Return the URL of a server without users."""
    return running_url


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give clients one certificate to trust: reading all takes most of the time to open one."""
    first, end, _ = Path(certifi.where()).read_text("ascii").partition("-----END CERTIFICATE-----")
    trusted = tmp_path_factory.mktemp("trusted") / "certificates.pem"
    trusted.write_text(first + end, encoding="ascii")
    with patch("certifi.where", lambda: str(trusted)):
        yield


@pytest.fixture(params=DRIVERS, ids=["sync", "async"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    driver: Driver = request.param()
    yield driver
    driver.close()


@pytest.fixture
def client(url: str, driver: Driver) -> DrivenClient:
    """Return a client without credentials."""
    return driver.open(url)


@pytest.fixture
def another(url: str) -> Iterator[UserAuthClient]:
    """Return a second client, independent of the one under test."""
    with UserAuthClient(url) as client:
        yield client


@pytest.fixture
def service(dsn: str) -> tuple[str, str]:
    """Return the id and the secret of a service."""
    created = json.loads(manage("clients", "add", "billing", "--json", DATABASE_URL=dsn).stdout)
    return created["id"], created["secret"]

"""A server as a process, for the tests of a file; both clients, for each test."""

import json
from collections.abc import Iterator

import pytest

from tests.harness.flavours import FLAVOURS, Driven, Flavour
from tests.harness.processes import manage, running_server
from userauth_client import UserAuthClient

EMAIL = "susan@example.com"


@pytest.fixture(scope="module")
def running_url(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a server; yield where it listens."""
    with running_server(
        {"DATABASE_URL": postgres}, tmp_path_factory.mktemp("client") / "log"
    ) as server:
        yield server.url


@pytest.fixture
def url(running_url: str, dsn: str) -> str:  # noqa: ARG001 - it empties the database
    """Return where a server without users listens."""
    return running_url


@pytest.fixture(params=FLAVOURS, ids=["sync", "async"])
def flavour(request: pytest.FixtureRequest) -> Iterator[Flavour]:
    flavour: Flavour = request.param()
    yield flavour
    flavour.close()


@pytest.fixture
def client(url: str, flavour: Flavour) -> Driven:
    """Return a client that presents nobody."""
    return flavour.open(url)


@pytest.fixture
def another(url: str) -> Iterator[UserAuthClient]:
    """Return a client for what a test does beside the one that it is about."""
    with UserAuthClient(url) as client:
        yield client


@pytest.fixture
def service(dsn: str) -> tuple[str, str]:
    """Return the id and the secret of a service."""
    made = json.loads(manage("clients", "add", "billing", "--json", DATABASE_URL=dsn).stdout)
    return made["id"], made["secret"]

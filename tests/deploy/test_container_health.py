"""The health check of the container, beside a server with the same variables."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.container_health import address
from tests.harness.configuration import ROOT
from tests.harness.processes import free_port, free_ports, running_server
from tests.harness.stub_server import http_response, stub_server

HEALTH = [sys.executable, str(ROOT / "deploy" / "container_health.py")]
# Nothing listens there.
PROXY = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}


def health(**variables: str) -> int:
    # In an environment without the variables of this process, as that of a container.
    return subprocess.run(HEALTH, env={**PROXY, **variables}, timeout=30, check=False).returncode


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.2",
        "0.0.0.0",  # noqa: S104
        pytest.param("::", marks=pytest.mark.needs("IPv6")),
        pytest.param("::1", marks=pytest.mark.needs("IPv6")),
        "localhost",
    ],
)
def test_a_server_that_responds_is_healthy_wherever_it_listens(
    dsn: str, tmp_path: Path, host: str
) -> None:
    variables = {"HOST": host, "PORT": str(free_port())}
    assert health(**variables) == 1
    with running_server({"DATABASE_URL": dsn, **variables}, tmp_path / "log"):
        assert health(**variables) == 0


def test_the_number_of_the_process_is_added_to_the_port(dsn: str, tmp_path: Path) -> None:
    variables = {"PORT": str(free_ports(2)), "USERAUTH_SERVER__INSTANCE": "2"}
    variables["USERAUTH_SERVER__PROCESSES"] = "2"
    with running_server({"DATABASE_URL": dsn, **variables}, tmp_path / "log"):
        assert health(**variables) == 0


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ("127.0.0.1", 8000)),
        ({"HOST": "", "PORT": "", "USERAUTH_SERVER__INSTANCE": ""}, ("127.0.0.1", 8000)),
        (
            {"USERAUTH_SERVER__HOST": "10.0.0.1", "USERAUTH_SERVER__PORT": "80"},
            ("10.0.0.1", 80),
        ),
        (
            {"USERAUTH_SERVER__REUSE_PORT": "true", "USERAUTH_SERVER__INSTANCE": "2"},
            ("127.0.0.1", 8000),
        ),
        (
            {"USERAUTH_SERVER__REUSE_PORT": "false", "USERAUTH_SERVER__INSTANCE": "02"},
            ("127.0.0.1", 8002),
        ),
    ],
)
def test_the_address_is_that_of_the_settings(
    variables: dict[str, str], expected: tuple[str, int]
) -> None:
    assert address(variables) == expected


@pytest.mark.parametrize("response", [http_response(503), b"no HTTP\r\n\r\n"])
def test_a_server_that_responds_otherwise_is_unhealthy(response: bytes) -> None:
    with stub_server(response) as stub:
        assert health(PORT=stub.url.rpartition(":")[2]) == 1

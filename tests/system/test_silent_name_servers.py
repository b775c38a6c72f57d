"""Servers and commands whose settings have a name that no name server answers."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.harness.accounts import EMAIL
from tests.harness.api import PASSWORD
from tests.harness.configuration import ROOT
from tests.harness.processes import environment, running_server

# Each Python process imports it first.
SILENCE = """
import socket, sys, time
real = socket.getaddrinfo
def getaddrinfo(name, *args, **kwargs):
    if name == "silent.example":
        print(f"resolving {name}", file=sys.stderr, flush=True)
        time.sleep(600)
    return real(name, *args, **kwargs)
socket.getaddrinfo = getaddrinfo
"""
LIMITS = {"USERAUTH_DATABASE__ACQUIRE_TIMEOUT_SECONDS": "0.5"}


@pytest.fixture
def silence(tmp_path: Path) -> dict[str, str]:
    """Return the variables of processes whose name servers do not answer one name."""
    (tmp_path / "sitecustomize.py").write_text(SILENCE, encoding="utf-8")
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}"}


@pytest.mark.parametrize(
    "command", [["server.py"], ["server.py", "--check"], ["manage.py", "check"]]
)
def test_what_waits_for_a_silent_name_ends_at_its_time_limit(
    silence: dict[str, str], command: list[str]
) -> None:
    variables = {"DATABASE_URL": "postgresql://u@silent.example/x"}
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment(**variables, **silence, **LIMITS),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "silent.example was not resolved in time" in ended.stderr


def test_a_server_stops_while_a_name_is_being_resolved(
    silence: dict[str, str], dsn: str, tmp_path: Path
) -> None:
    variables = {"DATABASE_URL": dsn.replace("?host=", "?host=silent.example,"), **silence}
    with running_server(variables, tmp_path / "log", preloaded=False) as server:
        assert server.stop() == 0


def test_a_server_stops_while_the_name_of_the_mail_server_is_being_resolved(
    silence: dict[str, str], dsn: str, tmp_path: Path
) -> None:
    variables = {
        "DATABASE_URL": dsn,
        "USERAUTH_MAIL__URL": "smtp://silent.example",
        "USERAUTH_MAIL__FROM": "no-reply@example.com",
        # How long a stop waits for a message that is being sent.
        "USERAUTH_SERVER__DRAIN_SECONDS": "0",
        **silence,
    }
    with running_server(variables, tmp_path / "log", preloaded=False) as server:
        account = {"email": EMAIL, "password": PASSWORD}
        assert (
            httpx.post(f"{server.url}/api/user/register", json=account, timeout=30).status_code
            == 201
        )
        server.wait_for("resolving silent.example")
        assert server.stop() == 0

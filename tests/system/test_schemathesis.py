"""Requests that the OpenAPI document allows, and others, sent to a server by Schemathesis."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ops.logged_requests import FREQUENT_ROUTES
from tests.harness.command_line import manage
from tests.harness.configuration import ROOT
from tests.harness.openapi import document
from tests.harness.processes import running_server

PROGRAM = Path(sys.executable).with_name("schemathesis")
# Wrong passwords are sent by the hundred, from one address.
WIDE = {
    f"USERAUTH_THROTTLE__{name}": "1000000"
    for name in (
        "PAIR_FAILURES",
        "ACCOUNT_FAILURES",
        "ADDRESS_FAILURES",
        "MAX_CONSECUTIVE_FAILURES",
    )
}
# Messages are sent, to files, without a limit on requests for them.
MAIL = {
    "USERAUTH_MAIL__FROM": "no-reply@example.com",
    "USERAUTH_MAIL__USER_PER_HOUR": "1000000",
    "USERAUTH_MAIL__NETWORK_PER_HOUR": "1000000",
}
# The secrets of messages are not generated: tests/handlers/test_proofs.py sends them.
PROVEN = re.compile(r"/(confirm|undo)$")
# No check is left out. A machine that is slow at generating data is no fault of the server.
CONFIGURATION = ("--config-file", str(ROOT / "tests" / "harness" / "schemathesis.toml"))
ARGUMENTS = (
    "--checks=all",
    "--seed=1",
    "--suppress-health-check=too_slow",
    "--no-color",
)


@pytest.mark.timeout(700)
@pytest.mark.parametrize(
    "pace",
    [
        pytest.param(("--phases=examples,fuzzing,stateful", "--max-examples=1"), id="quick"),
        # All phases: coverage as well, which takes longest.
        pytest.param(("--max-examples=50",), id="full", marks=pytest.mark.long),
    ],
)
def test_schemathesis_finds_no_fault_and_gets_a_success_from_every_call(
    dsn: str, tmp_path: Path, pace: tuple[str, ...]
) -> None:
    client = json.loads(manage("clients", "add", "billing", "--json", DATABASE_URL=dsn).stdout)
    mail = {"USERAUTH_MAIL__URL": f"folder:{tmp_path / 'mail'}", **MAIL}
    with running_server({"DATABASE_URL": dsn, **WIDE, **mail}, tmp_path / "log") as server:
        ended = subprocess.run(
            [str(PROGRAM), *CONFIGURATION, "run", *ARGUMENTS, *pace, f"{server.url}/openapi.json"],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.harness.schemathesis_hooks",
                "USERAUTH_URL": server.url,
                "CLIENT_ID": client["id"],
                "CLIENT_SECRET": client["secret"],
            },
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "Failures:" not in ended.stdout
        assert "Warnings:" not in ended.stdout
        log = server.written()
    assert " ERROR " not in log
    # Successes of the routes that monitors and proxies call all the time are not logged.
    assert successes(log) == {
        (method.upper(), path)
        for path, item in document()["paths"].items()
        for method in item
        if method != "parameters" and path not in FREQUENT_ROUTES and not PROVEN.search(path)
    }


def successes(log: str) -> set[tuple[str, str]]:
    """Return the calls of the document that succeeded."""
    found = re.findall(r" INFO ([A-Z]+) (/\S+) 2\d\d ", log)
    calls = {(method, re.sub(r"/[0-9a-f-]{36}$", "/{id}", path)) for method, path in found}
    return {
        (method, path)
        for method, path in calls
        if path in document()["paths"] and method != "OPTIONS"
    }

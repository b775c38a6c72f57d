"""A server of the previous schema version beside one of this version, on one database."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from db.schema import SCHEMAS
from db.schema_version import VERSION
from tests.harness import child_processes
from tests.harness.api import PASSWORD
from tests.harness.command_line import manage
from tests.harness.configuration import ROOT
from tests.harness.databases import new_database
from tests.harness.environment_variables import for_downloads
from tests.harness.processes import ServerProcess, environment, running_server
from tests.harness.programs import get_program
from tests.harness.sql import run_sql

pytestmark = [pytest.mark.long, pytest.mark.needs("git"), pytest.mark.timeout(300)]
# The last commit with schema version 4.
PREVIOUS = "411e41fa98ebbf7f7ab67cad8cf06920cf7e5fa8"
# Its target that installs the packages, and the Python that has them.
SERVER_PACKAGES, PYTHON = ".venv/.server", ".venv/bin/python"
WRONG = "not the password"


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Check out the previous version, with its packages in a virtual environment of its own."""
    directory = tmp_path_factory.mktemp("previous") / "userauth"
    git = get_program("git")
    clone = [git, "clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(directory)]
    subprocess.run(clone, check=True)
    subprocess.run([git, "-C", str(directory), "checkout", "--quiet", PREVIOUS], check=True)
    make = ["make", "--silent", f"--directory={directory}", f"PYTHON={sys.executable}"]
    subprocess.run([*make, SERVER_PACKAGES], check=True, env={**os.environ, **for_downloads()})
    return directory


@pytest.fixture
def dsn(postgres: str) -> Iterator[str]:
    """Create a database of the previous version."""
    with new_database(postgres, "rolling") as dsn:
        run_sql(dsn, (SCHEMAS / f"{VERSION - 1}.sql").read_text(encoding="utf-8"))
        yield dsn


class Servers:
    """Clients of both versions."""

    def __init__(self, old: ServerProcess, new: ServerProcess) -> None:
        self.old, self.new = (httpx.Client(base_url=each.url, timeout=30) for each in (old, new))

    def both(self) -> Iterator[tuple[httpx.Client, httpx.Client]]:
        """Yield each client, and the other one."""
        yield self.old, self.new
        yield self.new, self.old


@pytest.fixture
def servers(dsn: str, previous: Path, tmp_path: Path) -> Iterator[Servers]:
    """Start the previous version, and then this one, which migrates the database."""
    variables = {"DATABASE_URL": dsn}
    log = tmp_path / "previous.log"
    with ExitStack() as stack:
        process = stack.enter_context(
            child_processes.running(
                [str(previous / PYTHON), str(previous / "server.py")],
                log,
                environment(**variables),
                directory=previous,
            )
        )
        old = ServerProcess(process, child_processes.read_greeting(process, log), log)
        assert run_sql(dsn, "SELECT version FROM userauth_schema") == [(VERSION - 1,)]
        new = stack.enter_context(running_server(variables, tmp_path / "log"))
        assert run_sql(dsn, "SELECT version FROM userauth_schema") == [(VERSION,)]
        servers = Servers(old, new)
        yield servers
        for client in (servers.old, servers.new):
            assert client.get("/health/ready").status_code == 200
            client.close()
        assert "Traceback" not in old.written() + new.written()


def register(client: httpx.Client, email: str) -> None:
    answer = client.post("/api/user/register", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text


def log_in(client: httpx.Client, email: str, password: str = PASSWORD) -> httpx.Response:
    return client.post("/api/user/login", auth=(email, password))


def status(client: httpx.Client, token: str) -> int:
    return client.get("/api/user", auth=(token, "")).status_code


def test_each_version_accepts_and_revokes_the_tokens_of_the_other(servers: Servers) -> None:
    for number, (one, other) in enumerate(servers.both()):
        email = f"user{number}@example.com"
        register(one, email)
        answer = log_in(other, email)
        token = answer.json()["token"]
        assert (status(one, token), status(other, token)) == (200, 200)
        changed = one.patch("/api/user", auth=(token, ""), json={"name": f"Name {number}"})
        assert changed.status_code == 200, changed.text
        assert other.get("/api/user", auth=(token, "")).json()["name"] == f"Name {number}"
        assert one.post("/api/user/logout", auth=(token, "")).status_code == 204
        assert (status(one, token), status(other, token)) == (401, 401)


def test_a_disabled_user_is_rejected_by_both_versions(servers: Servers, dsn: str) -> None:
    register(servers.old, "susan@example.com")
    tokens = [log_in(client, "susan@example.com").json()["token"] for client, _ in servers.both()]
    disabled = manage("users", "disable", "susan@example.com", DATABASE_URL=dsn)
    assert disabled.returncode == 0, disabled
    for client, _ in servers.both():
        assert [status(client, token) for token in tokens] == [401, 401]
        assert log_in(client, "susan@example.com").status_code == 403


def test_both_versions_count_the_same_failures_and_write_one_audit_trail(
    servers: Servers, dsn: str
) -> None:
    register(servers.new, "susan@example.com")
    # Ten failures are free, whichever version counts them.
    for _ in range(5):
        for client, _ in servers.both():
            assert log_in(client, "susan@example.com", WRONG).status_code == 401
    statuses = [log_in(servers.old, "susan@example.com", WRONG).status_code for _ in range(3)]
    assert statuses[-1] == 429
    assert log_in(servers.new, "susan@example.com").status_code == 429
    listed = manage("audit", "list", "--json", DATABASE_URL=dsn)
    assert listed.stdout.count('"registered"') == 1
    # The first failure that each version sees; they count further ones, and write them later.
    assert listed.stdout.count('"password-failed"') == 2

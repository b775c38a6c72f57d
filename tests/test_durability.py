"""A revocation that was answered holds: after a crash of Postgres, and beside a standby."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.api import Api, bearer
from tests.configuration import ROOT
from tests.given_cluster import Cluster, new_cluster
from tests.processes import environment, manage, running_server

LAG = "recovery_min_apply_delay=1h"
USERS = 4


def ask(url: str, work: Callable[[Api], Awaitable[None]]) -> None:
    async def run() -> None:
        api = Api(url)
        try:
            await work(api)
        finally:
            api.close()

    asyncio.run(run())


async def statuses(api: Api, tokens: list[str]) -> list[int]:
    answers = [
        await api.request("GET", "/api/user", authorization=bearer(token)) for token in tokens
    ]
    return [answer.status for answer in answers]


async def registered(api: Api, prefix: str) -> list[str]:
    return [await api.registered_token(f"{prefix}{n}@example.com") for n in range(USERS)]


async def log_out(api: Api, token: str) -> None:
    answer = await api.request("POST", "/api/user/logout", authorization=bearer(token))
    assert answer.status == 204


@pytest.fixture
def primary(open_folder: Path) -> Iterator[Cluster]:
    with new_cluster(open_folder, "wal_writer_delay=10s", "wal_level=replica") as cluster:
        yield cluster


@pytest.fixture
def standby(primary: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """Make a standby that holds the schema, and applies from then on what is an hour old."""
    with running_server({"DATABASE_URL": primary.url()}, tmp_path / "schema"):
        pass
    made = primary.standby(LAG)
    made.start()
    yield made
    made.stop()


def started_and_refused(url: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "server.py")],
        env=environment(DATABASE_URL=url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_revocation_survives_kill_9_of_postgres_whatever_its_role_inherits(
    primary: Cluster, tmp_path: Path
) -> None:
    primary.sql("ALTER ROLE userauth SET synchronous_commit = off")
    tokens: list[str] = []

    async def revoke(api: Api) -> None:
        tokens.extend(await registered(api, "susan"))
        for token in tokens:
            await log_out(api, token)
        primary.kill()

    async def look(api: Api) -> None:
        assert await statuses(api, tokens) == [401] * USERS

    variables = {"DATABASE_URL": primary.url()}
    with running_server(variables, tmp_path / "log") as server:
        ask(server.url, revoke)
    primary.start()
    with running_server(variables, tmp_path / "again") as server:
        ask(server.url, look)


def test_a_server_does_not_start_on_a_standby(standby: Cluster) -> None:
    ended = started_and_refused(standby.url())
    assert ended.returncode == 1
    assert "is a standby" in ended.stderr
    assert "Traceback" not in ended.stderr
    ended = manage("users", "list", DATABASE_URL=standby.url())
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "is a standby" in ended.stderr

"""What tests share: one Postgres per run, one application per test, a clock moved by hand."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import bcrypt
import pytest
from tornado.ioloop import IOLoop

from handlers.application import Application
from ops.event_loop import EventLoop
from postgres.data_directory import DataDirectory
from postgres.embedded import EmbeddedPostgres
from postgres.server_role import ROLE
from settings import Settings
from tests.harness.api import Api
from tests.harness.blocked_hashes import BlockedHashes
from tests.harness.built_once import built_once
from tests.harness.clock import Clock
from tests.harness.configuration import KEY, ROOT, settings_with
from tests.harness.databases import delete_rows, idle_housekeeping, unchecked_schema
from tests.harness.gate import Gate
from tests.harness.mail import MAIL_FOLDER
from tests.harness.memory_directory import new_directory
from tests.harness.parallel import (
    pytest_collection,
    pytest_collection_modifyitems,
    pytest_runtest_protocol,
    pytest_xdist_auto_num_workers,
)
from tests.harness.replication import made_cluster
from tests.harness.sql import keeping_connection, run_sql
from transport.server import Server
from wiring.application import open_application

pytest_plugins = ["tests.harness.isolation", "tests.harness.needs"]
__all__ = [
    "pytest_collection",
    "pytest_collection_modifyitems",
    "pytest_runtest_protocol",
    "pytest_xdist_auto_num_workers",
]


class _LoopPolicy(asyncio.DefaultEventLoopPolicy):
    """Gives tests the event loop of the server."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return EventLoop()


@pytest.fixture(scope="session", autouse=True)
def _remove_mail_folder() -> Iterator[None]:
    """Remove the messages of servers that are processes of their own."""
    yield
    shutil.rmtree(MAIL_FOLDER, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _loop_policy() -> Iterator[None]:
    asyncio.set_event_loop_policy(_LoopPolicy())
    yield
    asyncio.set_event_loop_policy(None)


@pytest.fixture(scope="session", autouse=True)
def _built_once() -> Iterator[None]:
    with built_once():
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Run one real Postgres for the whole session, with the schema; yield its URL."""
    with new_directory() as folder:
        data = Path(folder) / "data"
        EmbeddedPostgres.start(data).stop()
        # Tests create databases and roles of their own; a server cannot. The locks of autovacuum
        # would come at any time.
        statements = (
            f"ALTER ROLE {ROLE} CREATEDB CREATEROLE;",
            "ALTER SYSTEM SET autovacuum = off;",
        )
        code, output = DataDirectory.open(data).as_superuser("\n\n".join(statements) + "\n\n")
        assert code == 0, output
        embedded = EmbeddedPostgres.start(data)
        try:
            run_sql(embedded.dsn, (ROOT / "schema.sql").read_text(encoding="utf-8"))
            with keeping_connection(embedded.dsn):
                yield embedded.dsn
        finally:
            embedded.stop()


@pytest.fixture(scope="session")
def stopped_cluster() -> Iterator[Path]:
    """Create a cluster of which tests start copies, as a primary and its standby."""
    with new_directory() as folder:
        yield made_cluster(Path(folder))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Create a directory that the user of Postgres can access."""
    with new_directory() as folder:
        yield Path(folder)


@pytest.fixture
def dsn(postgres: str) -> str:
    """Return a database without users and tokens."""
    delete_rows(postgres)
    return postgres


@pytest.fixture
def gate(io_loop: IOLoop, postgres: str) -> Iterator[Gate]:
    """Open a connection to Postgres that can be cut."""
    gate = Gate(postgres)
    io_loop.run_sync(gate.open)
    yield gate
    io_loop.run_sync(gate.remove)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """Return the settings of tests, with those that ``override_settings`` changes."""
    return settings_with(**getattr(request, "param", {}))


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Record each hash that bcrypt verifies a password against."""
    seen: list[bytes] = []
    check = bcrypt.checkpw

    def recorded(password: bytes, stored: bytes) -> bool:
        seen.append(stored)
        return check(password, stored)

    monkeypatch.setattr("rules.password_scheme.bcrypt.checkpw", recorded)
    return seen


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockedHashes]:
    """Block the hashes of passwords until the test or its end lets them continue."""
    hashes = BlockedHashes(monkeypatch)
    yield hashes
    hashes.may_continue.set()


@pytest.fixture
def keys() -> list[str]:
    return [KEY]


@pytest.fixture
def app(
    io_loop: IOLoop, settings: Settings, keys: list[str], dsn: str, clock: Clock
) -> Iterator[Application]:
    """Build the application as the server does, on a database of its own."""
    stack = AsyncExitStack()

    async def enter() -> Application:
        return await stack.enter_async_context(open_application(settings, keys, dsn, clock))

    with unchecked_schema(), idle_housekeeping():
        application = io_loop.run_sync(enter)
    yield application
    io_loop.run_sync(stack.aclose)
    shutil.rmtree(MAIL_FOLDER, ignore_errors=True)


@pytest.fixture
def api(io_loop: IOLoop, app: Application, settings: Settings) -> Iterator[Api]:
    """Serve the application on a real socket; yield the client that checks its answers."""
    server = Server(app, settings.limits)

    async def listen() -> int:
        return await server.listen("127.0.0.1", 0)

    port = io_loop.run_sync(listen)
    client = Api(f"http://127.0.0.1:{port}")
    yield client
    client.close()
    io_loop.run_sync(lambda: server.drain(drain_delay_seconds=0, drain_seconds=5))

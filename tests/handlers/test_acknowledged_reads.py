"""Lookups that a synchronous standby acknowledges: without it no credentials are accepted."""

import asyncio
from collections.abc import Awaitable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import pytest

from db.errors import DatabaseError, NotAcknowledged, Unavailable
from db.pool import Database
from db.prepared import PreparedQuery
from db.rows import Row
from db.token_lookups import FIND_USERS
from handlers.application import Application
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.command_line import manage
from tests.harness.configuration import KEY, override_settings, settings_with
from tests.harness.databases import delete_rows, use
from tests.harness.form_browser import FORM, FormBrowser
from tests.harness.memory_directory import new_directory
from tests.harness.replication import STANDBY, Replicated, replicated
from tests.harness.request_messages import request_messages
from wiring.application import open_application
from wiring.errors import StartError

EMAIL = "susan@example.com"
RESUMED = "Postgres can be used again: requests are served"
NAMES = "synchronous_standby_names"
POOL_MAX = 3
# With shorter limits, requests fail on a busy machine.
SECONDS = 2.0
SETTINGS = {
    "DATABASE__URL": "postgresql://userauth@127.0.0.1/userauth",
    "DATABASE__POOL_MAX": POOL_MAX,
    "DATABASE__ACQUIRE_TIMEOUT_SECONDS": SECONDS,
    "DATABASE__QUERY_TIMEOUT_SECONDS": SECONDS,
}
ACKNOWLEDGED = {**SETTINGS, "DATABASE__READS": "acknowledged"}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture(scope="module")
def nodes(stopped_cluster: Path) -> Iterator[Replicated]:
    with new_directory() as folder, replicated(stopped_cluster, Path(folder)) as nodes:
        yield nodes


@pytest.fixture
def dsn(nodes: Replicated) -> Iterator[str]:
    delete_rows(nodes.primary.url)
    yield nodes.primary.url
    nodes.standby.thaw()
    nodes.primary.set(NAMES, STANDBY)
    nodes.primary.wait_for(f"({WAITING}) = 0")


async def ask_everything(api: Api, browser: FormBrowser, token: str, client: str) -> dict[str, int]:
    """Send each kind of credentials to a call that lets them in; return the statuses."""
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    get = partial(api.request, "GET")
    requests: dict[str, Awaitable[Answer]] = {
        "token": get("/api/user", authorization=bearer(token)),
        "password": get("/api/user", authorization=basic(EMAIL, PASSWORD)),
        "login": api.log_in(),
        "verify a token": get("/api/verify", authorization=bearer(token)),
        "verify a password": get("/api/verify", authorization=basic(EMAIL, PASSWORD)),
        "verify a session": get("/api/verify", headers={"Cookie": cookie}),
        "introspection": api.request(
            "POST",
            "/api/token/introspect",
            authorization=client,
            body=urlencode({"token": token}).encode(),
            headers={"Content-Type": FORM},
        ),
        "readiness": get("/health/ready"),
    }
    answers = await asyncio.gather(*requests.values())
    statuses = {name: answer.status for name, answer in zip(requests, answers, strict=True)}
    statuses["page"] = (await browser.get("/auth/account")).status
    return statuses


async def until_ready(api: Api) -> None:
    async with asyncio.timeout(20):
        while (await api.request("GET", "/health/ready")).status != 200:
            await asyncio.sleep(0.05)


@override_settings(**ACKNOWLEDGED)
@pytest.mark.gen_test
async def test_without_an_acknowledgement_no_credentials_are_accepted(
    api: Api, app: Application, nodes: Replicated, caplog: pytest.LogCaptureFixture
) -> None:
    token = await api.registered_token()
    added = await app.services.clients.add("billing")
    client = basic(added.client_id, added.secret)
    browser = FormBrowser(api.url)
    await browser.sign_in(EMAIL, PASSWORD)
    before = await ask_everything(api, browser, token, client)
    assert before == dict.fromkeys(before, 200)
    await asyncio.to_thread(nodes.standby.freeze)
    for _ in range(2):
        statuses = await ask_everything(api, browser, token, client)
        assert statuses == dict.fromkeys(before, 503)
    # A later connection finds the sessions of the first lookups.
    async with asyncio.timeout(20):
        while f"none acknowledges (synchronous_standby_names = '{STANDBY}')" not in caplog.text:
            assert (await api.request("GET", "/health/ready")).status == 503
    causes = {vars(record)["cause"] for record in request_messages(caplog)}
    assert causes
    assert all("answer" in cause or "acknowledge" in cause for cause in causes)
    await asyncio.to_thread(nodes.standby.thaw)
    await until_ready(api)
    assert await ask_everything(api, browser, token, client) == before
    browser.close()
    caplog.clear()


@override_settings(**SETTINGS)
@pytest.mark.gen_test
async def test_the_sessions_that_wait_for_a_standby_are_bounded(
    api: Api, nodes: Replicated, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing ends them, so new ones must not follow each that ran out of time."""
    assert (await api.register()).status == 201
    await asyncio.to_thread(nodes.standby.freeze)
    for number in range(4):
        await asyncio.gather(*(api.register(f"{number}-{n}@example.com") for n in range(POOL_MAX)))
    [(waiting,)] = nodes.primary.sql(WAITING)
    # Those that were counted, and those that were opened before they were.
    assert POOL_MAX <= int(str(waiting)) <= 2 * POOL_MAX
    await asyncio.to_thread(nodes.standby.thaw)
    await until_ready(api)
    nodes.primary.wait_for(f"({WAITING}) = 0")
    caplog.clear()


@override_settings(**ACKNOWLEDGED)
@pytest.mark.gen_test
async def test_a_server_is_not_ready_while_no_standby_is_configured(
    api: Api, nodes: Replicated, caplog: pytest.LogCaptureFixture
) -> None:
    token = await api.registered_token()
    await asyncio.to_thread(nodes.primary.set, NAMES, "")
    for path in ("/health/ready", "/api/user"):
        assert (await api.request("GET", path, authorization=bearer(token))).status == 503
    assert "have to be acknowledged: requests get 503 until it names one" in caplog.text
    assert RESUMED not in caplog.text
    caplog.clear()
    caplog.set_level("INFO")
    await asyncio.to_thread(nodes.primary.set, NAMES, STANDBY)
    for path in ("/health/ready", "/api/user"):
        assert (await api.request("GET", path, authorization=bearer(token))).status == 200
    assert caplog.text.count(RESUMED) == 1


async def result_of(query: PreparedQuery) -> DatabaseError | None:
    """Return the error of a lookup, or None."""
    answered: asyncio.Future[DatabaseError | None] = asyncio.get_running_loop().create_future()

    def receive(_: list[Row], error: DatabaseError | None) -> None:
        answered.set_result(error)

    query.send(["00000000-0000-0000-0000-000000000000"], receive)
    return await answered


def test_a_lookup_whose_wait_was_cancelled_does_not_count(nodes: Replicated, dsn: str) -> None:
    """Postgres then returns the rows, with a warning."""

    async def work(database: Database) -> None:
        query = await database.prepare(
            FIND_USERS.name, FIND_USERS.sql, FIND_USERS.key_type, acknowledged=True
        )
        nodes.standby.freeze()
        answered = asyncio.create_task(result_of(query))
        await asyncio.to_thread(nodes.primary.wait_for, f"({WAITING}) = 1")
        nodes.primary.sql(WAITING.replace("count(*)", "pg_cancel_backend(pid)"))
        error = await answered
        assert isinstance(error, Unavailable)
        assert "with a warning" in str(error)

    use(dsn, work)


def test_a_lookup_keeps_its_connection_while_no_standby_is_configured(
    nodes: Replicated, dsn: str
) -> None:
    """Each new one would be rejected as well."""

    async def work(database: Database) -> None:
        query = await database.prepare(
            FIND_USERS.name, FIND_USERS.sql, FIND_USERS.key_type, acknowledged=True
        )
        # The session learns of a setting some time after new ones.
        async with asyncio.timeout(20):
            nodes.primary.set(NAMES, "")
            while (error := await result_of(query)) is None:
                pass
            assert isinstance(error, NotAcknowledged)
            nodes.primary.set(NAMES, STANDBY)
            while await result_of(query) is not None:
                assert not query.closed
        query.close()

    use(dsn, work)


def test_a_server_does_not_start_while_no_standby_is_configured(
    nodes: Replicated, dsn: str
) -> None:
    async def start() -> None:
        async with open_application(settings_with(**ACKNOWLEDGED), [KEY], dsn):
            pass

    nodes.primary.set(NAMES, "")
    with pytest.raises(StartError, match="Name a synchronous standby in synchronous_standby_names"):
        asyncio.run(start())
    for command in (("check",), ("check", "--database")):
        result = manage(*command, DATABASE_URL=dsn, USERAUTH_DATABASE__READS="acknowledged")
        assert result.returncode == 1
        assert result.stderr.count("synchronous_standby_names is empty") == 1
        assert "requests get 503" not in result.stderr
        assert manage(*command, DATABASE_URL=dsn).returncode == 0


def test_a_setting_that_any_standby_satisfies_is_a_warning(nodes: Replicated, dsn: str) -> None:
    nodes.primary.set(NAMES, "*")
    result = manage("check", DATABASE_URL=dsn, USERAUTH_DATABASE__READS="acknowledged")
    assert result.returncode == 0
    assert "Warning: synchronous_standby_names is * in Postgres" in result.stdout


def test_a_service_that_hides_the_timeline_can_be_used(nodes: Replicated, dsn: str) -> None:
    function = "FUNCTION pg_control_system()"
    nodes.primary.sql(f"REVOKE EXECUTE ON {function} FROM PUBLIC")

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            assert await connection.fetch_one("SELECT 1") == (1,)

    try:
        use(dsn, work)
    finally:
        nodes.primary.sql(f"GRANT EXECUTE ON {function} TO PUBLIC")

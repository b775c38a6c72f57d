"""Postgres down, unresponsive, read-only, locked: 503 in time, and recovery without a restart."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from handlers.application import Application
from ops.line_limit import LineLimit
from settings import Settings
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.configuration import settings_with
from tests.harness.gate import Gate
from tests.harness.request_messages import request_messages
from tests.harness.sql import run_sql
from tests.harness.waiting import until

EMAIL = "susan@example.com"
ACQUIRE_SECONDS = 1.0
QUERY_SECONDS = 2.5  # longer, so that a request that waits for a connection never gets one
GRACE_SECONDS = 0.5  # added to it: see db/pool.py
SLACK_SECONDS = 20.0  # of a slow machine; without a limit a request would wait forever


@pytest.fixture
def settings() -> Settings:
    return settings_with(
        DATABASE__POOL_MAX=2,
        DATABASE__ACQUIRE_TIMEOUT_SECONDS=ACQUIRE_SECONDS,
        DATABASE__QUERY_TIMEOUT_SECONDS=QUERY_SECONDS,
    )


@pytest.fixture
def dsn(dsn: str, gate: Gate) -> str:
    """Connect the application through the gate, to the same empty database."""
    assert dsn != gate.dsn
    return gate.dsn


@contextmanager
def locked(postgres: str, sql: str) -> Iterator[None]:
    """Hold the locks that a statement takes, in a transaction that is rolled back."""
    with closing(psycopg2.connect(postgres)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        yield


async def until_blocked(postgres: str, backends: int) -> None:
    """Return once a number of backends wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    await until(lambda: run_sql(postgres, waiting) == [(backends,)])


def end_backends(postgres: str) -> None:
    """Terminate the server's connections on the side of Postgres."""
    assert run_sql(
        postgres,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'userauth'",
    )


@contextmanager
def read_only(postgres: str) -> Iterator[None]:
    """Make Postgres reject writes, as during a switchover."""
    run_sql(postgres, "ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        end_backends(postgres)
        yield
    finally:
        writable = "-c default_transaction_read_only=off"
        with closing(psycopg2.connect(postgres, options=writable)) as connection:
            connection.autocommit = True
            connection.cursor().execute(
                "ALTER DATABASE postgres RESET default_transaction_read_only"
            )


async def change(api: Api, authorization: str, body: object = None) -> Answer:
    return await api.request("PATCH", "/api/user", authorization=authorization, json_body=body)


async def ask_everything(api: Api, token: str) -> dict[str, Answer]:
    """Send one request of each kind that needs the database, concurrently."""
    password = basic(EMAIL, PASSWORD)
    requests = {
        "token": api.request("GET", "/api/user", authorization=bearer(token)),
        "head": api.request("HEAD", "/api/user", authorization=bearer(token)),
        "password": api.request("GET", "/api/user", authorization=password),
        "login": api.log_in(),
        "register": api.register("other@example.com"),
        "change": change(api, bearer(token), {"name": "Susan"}),
        "delete": api.request("DELETE", "/api/user", authorization=bearer(token)),
        "delete by password": api.request("DELETE", "/api/user", authorization=password),
        "ready": api.request("GET", "/health/ready"),
    }
    return dict(zip(requests, await asyncio.gather(*requests.values()), strict=True))


async def expect_unavailable(api: Api, token: str, *, within: float) -> None:
    started = time.monotonic()
    answers = await ask_everything(api, token)
    assert time.monotonic() - started < within
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(answers, 503)
    for name, answer in answers.items():
        assert int(answer.headers["Retry-After"]) > 0
        if name != "head":
            assert answer.problem == "database-unavailable"
            for hidden in (b"127.0.0.1", b"5432", b"psycopg", b"socket", b"SELECT", b"postgres"):
                # A random id may contain any digits.
                assert hidden not in answer.content.replace(
                    answer.headers["X-Request-ID"].encode(), b""
                )
    assert (await api.request("GET", "/health/live")).status == 200


@pytest.mark.gen_test
async def test_an_outage_logs_some_causes_and_the_number_of_the_others(
    api: Api, app: Application, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    app.line_limit = LineLimit(max_lines=2)
    await gate.shut()
    for _ in range(5):
        assert (await api.request("GET", "/health/ready")).status == 503
    app.line_limit.end_period()
    records = request_messages(caplog)
    messages = [each.getMessage() for each in records]
    assert messages == ["request failed"] * 2 + ["log lines omitted"]
    fields = vars(records[-1])
    assert (fields["route"], fields["problem"]) == ("/health/ready", "database-unavailable")
    assert (fields["lines"], fields["omitted"]) == ("request failed", 3)
    caplog.clear()


async def expect_recovery(api: Api, postgres: str, token: str) -> None:
    """Assert that everything soon works again, and that nothing was changed meanwhile."""
    async with asyncio.timeout(30):
        while (await api.request("GET", "/health/ready")).status != 200:
            await asyncio.sleep(0.01)
        while (
            answer := await api.request("GET", "/api/user", authorization=bearer(token))
        ).status != 200:
            await asyncio.sleep(0.01)
    assert answer.json["name"] is None
    assert (EMAIL, None) in run_sql(postgres, "SELECT email, name FROM users")
    assert run_sql(postgres, "SELECT 1 FROM users WHERE name IS NOT NULL") == []
    assert (await api.log_in()).status == 200
    assert (await change(api, bearer(token), {"name": "Susan"})).status == 200


@pytest.mark.gen_test
async def test_a_postgres_that_refuses_connections_is_503_at_once_and_recovers(
    api: Api, postgres: str, gate: Gate
) -> None:
    token = await api.registered_token()
    await gate.shut()
    for _ in range(2):
        await expect_unavailable(api, token, within=ACQUIRE_SECONDS + SLACK_SECONDS)
    await gate.open()
    await expect_recovery(api, postgres, token)


@pytest.mark.gen_test
async def test_a_postgres_that_does_not_respond_is_503_in_time_and_recovers(
    api: Api, postgres: str, gate: Gate
) -> None:
    token = await api.registered_token()
    gate.silence()
    # The first requests use connections that look open: the timeout of the statement is added.
    within = ACQUIRE_SECONDS + QUERY_SECONDS + GRACE_SECONDS + SLACK_SECONDS
    await expect_unavailable(api, token, within=within)
    await expect_unavailable(api, token, within=ACQUIRE_SECONDS + SLACK_SECONDS)
    await gate.shut()
    await gate.open()
    await expect_recovery(api, postgres, token)


@pytest.mark.gen_test
async def test_ready_waits_a_second_for_postgres(api: Api, gate: Gate) -> None:
    gate.silence()
    started = time.monotonic()
    answer = await api.request("HEAD", "/health/ready")
    assert answer.status == 503
    assert time.monotonic() - started < 1 + SLACK_SECONDS


@pytest.mark.gen_test
async def test_a_connection_lost_during_a_statement_is_503_and_changes_nothing(
    api: Api, postgres: str, gate: Gate
) -> None:
    token = await api.registered_token()
    with locked(postgres, "SELECT * FROM users FOR UPDATE"):
        running = asyncio.create_task(change(api, bearer(token), {"name": "Susan"}))
        await until_blocked(postgres, 1)
        await gate.shut()
        answer = await running
    assert (answer.status, answer.problem) == (503, "database-unavailable")
    await gate.open()
    await expect_recovery(api, postgres, token)


@pytest.mark.gen_test
async def test_backends_terminated_between_requests_are_replaced(api: Api, postgres: str) -> None:
    token = await api.registered_token()
    for _ in range(3):
        end_backends(postgres)
        answer = await api.request("GET", "/api/user", authorization=bearer(token))
        assert answer.status == 200
    await expect_recovery(api, postgres, token)


@pytest.mark.gen_test
async def test_a_statement_that_times_out_is_503_and_changes_nothing(
    api: Api, postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = await api.registered_token()
    await api.register("peter@example.com")
    started = time.monotonic()
    with locked(postgres, "SELECT * FROM users FOR UPDATE"):
        answers = await asyncio.gather(
            change(api, bearer(token), {"name": "Susan"}),
            api.request("DELETE", "/api/user", authorization=basic("peter@example.com", PASSWORD)),
        )
        assert [answer.status for answer in answers] == [503, 503]
        assert run_sql(postgres, "SELECT count(*) FROM users") == [(2,)]
        assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200
    assert time.monotonic() - started < QUERY_SECONDS + GRACE_SECONDS + SLACK_SECONDS
    caplog.clear()  # the log has a test of its own
    await expect_recovery(api, postgres, token)


@pytest.mark.gen_test
async def test_a_statement_that_times_out_is_one_line_in_the_log_without_a_traceback(
    api: Api, postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = await api.registered_token()
    with locked(postgres, "SELECT * FROM users FOR UPDATE"):
        await change(api, bearer(token), {"name": "Susan"})
    [record] = request_messages(caplog)
    caplog.clear()
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert vars(record)["problem"] == "database-unavailable"
    assert "holds a lock" in vars(record)["cause"]


@pytest.mark.gen_test
async def test_an_exhausted_pool_is_503_in_time(
    api: Api, postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = [await api.registered_token(email) for email in (EMAIL, "peter@example.com")]
    with locked(postgres, "SELECT * FROM users FOR UPDATE"):
        holders = [asyncio.create_task(change(api, bearer(each), {"name": "S"})) for each in tokens]
        await until_blocked(postgres, 2)
        started = time.monotonic()
        answers = await asyncio.gather(*(api.log_in() for _ in range(20)))
        assert {answer.status for answer in answers} == {503}
        assert time.monotonic() - started < ACQUIRE_SECONDS + SLACK_SECONDS
        assert {answer.status for answer in await asyncio.gather(*holders)} == {503}
    caplog.clear()  # the log has a test of its own
    await expect_recovery(api, postgres, tokens[0])


@pytest.mark.gen_test
async def test_a_read_only_postgres_is_503_for_readers_too(api: Api, postgres: str) -> None:
    """It may be a former primary: its rows may be out of date."""
    token = await api.registered_token()
    with read_only(postgres):
        answers = await ask_everything(api, token)
        assert {answer.status for answer in answers.values()} == {503}
    await expect_recovery(api, postgres, token)

"""Guessing passwords through two processes on one database: the limits are those of one."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.processes import ServerProcess, running_server
from tests.harness.sql import run_sql
from tests.harness.waiting import until

EMAIL = "susan@example.com"
WRONG = "wrong password"
HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"
PAIR_FAILURES, ACCOUNT_FAILURES = 10, 30
VARIABLES = {
    "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.0/8",
    # Longer than any test: a slow machine must not allow another attempt.
    "USERAUTH_THROTTLE__FIRST_DELAY_SECONDS": "600",
}
# Slow enough for attempts to be in progress when a process is killed, and to reject none of them.
SLOW = {"USERAUTH_PASSWORDS__BCRYPT_COST": "12", "USERAUTH_PASSWORDS__MAX_WAIT_SECONDS": "60"}


@pytest.fixture
def servers(
    request: pytest.FixtureRequest, dsn: str, tmp_path: Path
) -> Iterator[list[ServerProcess]]:
    """Run two servers on one database."""
    variables = {"DATABASE_URL": dsn, **VARIABLES, **getattr(request, "param", {})}
    with ExitStack() as stack:
        yield [
            stack.enter_context(running_server(variables, tmp_path / name))
            for name in ("one", "two")
        ]


@asynccontextmanager
async def clients_of(servers: Sequence[ServerProcess]) -> AsyncIterator[list[Api]]:
    """Yield a client of each server, with a registered user."""
    apis = [Api(server.url) for server in servers]
    try:
        assert (await apis[0].register(EMAIL)).status == 201
        yield apis
    finally:
        for api in apis:
            api.close()


async def log_in(api: Api, password: str = WRONG, *, ip: str = HOME, email: str = EMAIL) -> int:
    return (await api.log_in(email, password, ip=ip)).status


async def fail_concurrently(
    apis: Sequence[Api], ips: Sequence[str], email: str = EMAIL
) -> Counter[int]:
    """Send a wrong password from each address concurrently, to the servers in turn.

    Return the counts of the statuses.
    """
    attempts = [
        log_in(apis[number % len(apis)], ip=ip, email=email) for number, ip in enumerate(ips)
    ]
    return Counter(await asyncio.gather(*attempts))


def failures(dsn: str, kind: str) -> int:
    """Return the highest count of a kind: account, pair or address."""
    [(highest,)] = run_sql(
        dsn, "SELECT max(failures) FROM throttle WHERE subject LIKE %s", (f"{kind}:%",)
    )
    return int(highest or 0)


@pytest.mark.parametrize("email", [EMAIL, "unknown@example.com"])
def test_parallel_attempts_on_two_processes_do_not_exceed_the_limit(
    servers: list[ServerProcess], dsn: str, email: str
) -> None:
    async def scenario() -> None:
        async with clients_of(servers) as apis:
            statuses = await fail_concurrently(apis, [HOME] * 60, email)
            assert statuses == {401: PAIR_FAILURES, 429: 60 - PAIR_FAILURES}
            assert await fail_concurrently(apis, [HOME] * 20, email) == {429: 20}

    asyncio.run(scenario())
    assert failures(dsn, "pair") == PAIR_FAILURES


def test_attempts_on_one_account_from_many_addresses_do_not_exceed_its_limit(
    servers: list[ServerProcess], dsn: str
) -> None:
    async def scenario() -> None:
        async with clients_of(servers) as apis:
            statuses: Counter[int] = Counter()
            for wave in range(3):
                ips = [f"100.64.{wave}.{number}" for number in range(100)]
                statuses += await fail_concurrently(apis, ips)
            assert statuses == {401: ACCOUNT_FAILURES, 429: 300 - ACCOUNT_FAILURES}
            # The correct password is not checked either.
            assert [await log_in(api, PASSWORD, ip=ELSEWHERE) for api in apis] == [429, 429]

    asyncio.run(scenario())
    assert failures(dsn, "account") == ACCOUNT_FAILURES


def test_a_failure_on_one_process_counts_immediately_on_the_other(
    servers: list[ServerProcess],
) -> None:
    async def scenario() -> None:
        async with clients_of(servers) as apis:
            # Both servers cache the password, which must not matter.
            for api in apis:
                assert (await read(api, basic(EMAIL, PASSWORD))) == 200
            for number in range(PAIR_FAILURES):
                assert await log_in(apis[number % 2]) == 401
            for api in (*apis, *reversed(apis)):
                assert await log_in(api, PASSWORD) == 429
                assert await read(api, basic(EMAIL, PASSWORD)) == 429

    asyncio.run(scenario())


def test_a_success_on_one_process_counts_immediately_on_the_other(
    servers: list[ServerProcess], dsn: str
) -> None:
    async def scenario() -> None:
        async with clients_of(servers) as apis:
            for number in range(4):
                one, other = apis[number % 2], apis[1 - number % 2]
                assert [await log_in(one) for _ in range(PAIR_FAILURES - 1)] == [401] * 9
                assert await log_in(other, PASSWORD) == 200
                assert failures(dsn, "pair") == 0

    asyncio.run(scenario())


def test_a_disabled_user_is_rejected_immediately_by_both_processes(
    servers: list[ServerProcess], dsn: str
) -> None:
    async def scenario() -> None:
        async with clients_of(servers) as apis:
            token = await apis[0].token(EMAIL)
            credentials = (bearer(token), basic(EMAIL, PASSWORD))
            for disabled_at, statuses in (
                ("NULL", [200, 200]),
                ("now()", [401, 403]),
                ("NULL", [200, 200]),
                ("now()", [401, 403]),
            ):
                run_sql(dsn, f"UPDATE users SET disabled_at = {disabled_at}")  # noqa: S608
                for api in apis:
                    assert [await read(api, shown) for shown in credentials] == statuses

    asyncio.run(scenario())


@pytest.mark.parametrize("servers", [SLOW], indirect=True)
def test_a_killed_process_loses_no_failure_count(
    servers: list[ServerProcess], dsn: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with clients_of(servers) as (doomed, other):
            attempts = [asyncio.create_task(log_in(doomed)) for _ in range(20)]
            await until(lambda: failures(dsn, "pair") >= 4)
            servers[0].signal(signal.SIGKILL)
            servers[0].wait()
            counted = failures(dsn, "pair")
            outcomes = await asyncio.gather(*attempts, return_exceptions=True)
            # Some have no response, but count as failures.
            assert outcomes.count(401) < counted <= PAIR_FAILURES
            assert outcomes.count(429) == 0
            statuses = await fail_concurrently([other], [HOME] * 20)
            assert statuses[401] <= PAIR_FAILURES - counted
            assert statuses[401] + statuses[429] == 20
            assert failures(dsn, "pair") == PAIR_FAILURES
            with running_server({"DATABASE_URL": dsn, **VARIABLES}, tmp_path / "again") as again:
                api = Api(again.url)
                assert await fail_concurrently([api, other], [HOME] * 10) == {429: 10}
                api.close()

    asyncio.run(scenario())


async def read(api: Api, authorization: str) -> int:
    answer = await api.request(
        "GET", "/api/user", authorization=authorization, headers={"X-Forwarded-For": HOME}
    )
    return answer.status

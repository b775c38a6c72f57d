"""Attempts with one host after another: their time limits, and the error if all fail."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from db.attempts import Attempt, try_hosts
from db.errors import (
    ConnectionRejected,
    PoolerNotSupported,
    ReadOnly,
    SchemaError,
    TooManyWaiting,
    Unavailable,
    combined,
)
from db.hosts import Host
from db.route import Route
from tests.harness.jumping_clock import run_at_once
from tests.harness.name_servers import name_servers

# Addresses, so that no name is resolved.
ROUTE = "postgresql://10.0.0.1,10.0.0.2,10.0.0.3/x?hostaddr=10.0.0.1,10.0.0.2,10.0.0.3"
ONE, TWO, THREE = Route(ROUTE).hosts
STANDBY, DOWN, REJECTS = ReadOnly("a standby"), Unavailable("down"), ConnectionRejected("too many")
WAITS = TooManyWaiting("sessions wait")
STARTING = ConnectionRejected("FATAL: the database system is starting up")
EXHAUSTED = ConnectionRejected("FATAL: sorry, too many clients already")
WRONG_PASSWORD = ConnectionRejected("FATAL: password authentication failed")
SILENT = "silent"
# It answers at once, and is the primary 5 seconds later.
DISTANT = "distant"
PRIMARY = "primary"
Answer = Exception | str


def attempts(answers: Mapping[Host, Answer], tried: list[Host]) -> Attempt[str]:
    """Return an attempt that gets the answer of a host, and lists the hosts that it tried."""

    async def attempt(host: Host, report: Callable[[], object]) -> str:
        tried.append(host)
        answer = answers[host]
        if answer == SILENT:
            await asyncio.Event().wait()
        if answer == DISTANT:
            report()
            await asyncio.sleep(5)
            return PRIMARY
        if isinstance(answer, Exception):
            raise answer
        return answer

    return attempt


def run(route: Route, seconds: float, *answers: Answer) -> tuple[list[Host], float]:
    """Try the hosts of a route; return those that were tried, and the seconds that it took."""
    tried: list[Host] = []
    attempt = attempts(dict(zip((ONE, TWO, THREE), answers, strict=False)), tried)
    found, took = run_at_once(try_hosts(route, seconds, attempt))
    assert found == PRIMARY
    return tried, took


def failure(route: Route, *answers: Answer) -> Unavailable:
    """Return the error of a route that does not lead to a primary."""
    with pytest.raises(Unavailable) as raised:
        run(route, 60, *answers)
    return raised.value


def failing_after(route: Route, seconds: float, *answers: Answer) -> float:
    """Try the hosts of a route that does not lead to a primary; return the seconds."""

    async def work() -> None:
        attempt = attempts(dict(zip((ONE, TWO, THREE), answers, strict=False)), [])
        with pytest.raises(Unavailable, match="no response in time"):
            await try_hosts(route, seconds, attempt)

    return run_at_once(work())[1]


@pytest.mark.parametrize("answer", [STANDBY, DOWN, REJECTS])
def test_a_host_that_fails_is_passed(answer: Exception) -> None:
    tried, _ = run(Route(ROUTE), 60, answer, answer, PRIMARY)
    assert tried == [ONE, TWO, THREE]


def test_silent_hosts_leave_time_for_the_others() -> None:
    tried, seconds = run(Route(ROUTE), 0.6, SILENT, SILENT, PRIMARY)
    assert tried == [ONE, TWO, THREE]
    assert seconds == pytest.approx(0.4)


def test_one_of_several_hosts_gets_at_most_a_second() -> None:
    _, seconds = run(Route(ROUTE), 600, SILENT, PRIMARY)
    assert seconds == pytest.approx(1)


def test_the_last_of_several_hosts_gets_no_more_than_the_others() -> None:
    assert failing_after(Route(ROUTE), 60, DOWN, DOWN, SILENT) == pytest.approx(1)


def test_a_host_without_others_gets_all_the_time() -> None:
    alone = Route("postgresql:///x?hostaddr=10.0.0.1&host=10.0.0.1&port=5432")
    assert failing_after(alone, 60, SILENT) == pytest.approx(60)


def test_one_of_several_hosts_gets_its_share_once_it_has_answered() -> None:
    tried, seconds = run(Route(ROUTE), 18, SILENT, DISTANT)
    assert tried == [ONE, TWO]
    assert seconds == pytest.approx(1 + 5)


def test_a_host_that_has_answered_leaves_time_for_the_others() -> None:
    tried, seconds = run(Route(ROUTE), 9, DISTANT, PRIMARY)
    assert tried == [ONE, TWO]
    assert seconds == pytest.approx(3)


def test_a_silent_host_is_tried_after_the_others_until_a_connection_is_open() -> None:
    route = Route(ROUTE)
    failure(route, SILENT, STANDBY, DOWN)
    tried, _ = run(route, 60, PRIMARY, STANDBY, DOWN)
    assert tried == [TWO, THREE, ONE]
    route.follow(ONE)
    tried, _ = run(route, 60, PRIMARY, STANDBY, DOWN)
    assert tried == [ONE]


@pytest.mark.parametrize("error", [SchemaError("none"), PoolerNotSupported("shared")])
def test_what_the_administrator_has_to_correct_ends_the_attempts(error: Exception) -> None:
    tried: list[Host] = []
    with pytest.raises(type(error)):
        asyncio.run(try_hosts(Route(ROUTE), 60, attempts({ONE: error, TWO: PRIMARY}, tried)))
    assert tried == [ONE]


def test_the_error_has_the_reason_of_each_host() -> None:
    error = failure(Route(ROUTE), SILENT, STANDBY, DOWN)
    assert str(error) == "10.0.0.1 port 5432: no response in time; a standby; down"


def test_a_cancelled_task_stops_trying() -> None:
    tried: list[Host] = []

    async def work() -> None:
        attempt = attempts({ONE: SILENT, TWO: PRIMARY}, tried)
        task = asyncio.create_task(try_hosts(Route(ROUTE), 600, attempt))
        while not tried:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    assert tried == [ONE]


@pytest.mark.parametrize(
    ("primary", "answers", "kind"),
    [
        (None, (STANDBY, DOWN, DOWN), ReadOnly),
        (None, (STANDBY, REJECTS, DOWN), ConnectionRejected),
        (None, (DOWN, DOWN, DOWN), Unavailable),
        (ONE, (STANDBY, DOWN, DOWN), ReadOnly),
        (ONE, (STANDBY, REJECTS, DOWN), ReadOnly),
        (ONE, (DOWN, STANDBY, STANDBY), ReadOnly),
        (ONE, (REJECTS, STANDBY, STANDBY), ConnectionRejected),
        # Its connections still answer lookups.
        (ONE, (WAITS, STANDBY, STANDBY), TooManyWaiting),
        (None, (STANDBY, WAITS, REJECTS), TooManyWaiting),
        # It may be busy: to end its connections would make it worse.
        (ONE, (SILENT, STANDBY, STANDBY), Unavailable),
        (ONE, (SILENT, WAITS, STANDBY), TooManyWaiting),
        (ONE, (SILENT, REJECTS, STANDBY), ConnectionRejected),
    ],
)
def test_connections_end_if_no_host_can_be_the_primary(
    primary: Host | None, answers: tuple[Answer, ...], kind: type[Unavailable]
) -> None:
    """ReadOnly ends them: Database.react()."""
    route = Route(ROUTE)
    route.primary = primary
    assert type(failure(route, *answers)) is kind


@pytest.mark.parametrize(
    ("answers", "remedy"),
    [
        (
            (STARTING, WRONG_PASSWORD, STARTING),
            "Try again when Postgres accepts connections. Check DATABASE_URL.",
        ),
        (
            (EXHAUSTED, SILENT, STANDBY),
            (
                "Raise the limit of connections, or lower database.pool_max. Check DATABASE_URL,"
                " and that Postgres is running."
            ),
        ),
        (
            (WRONG_PASSWORD, DOWN, STARTING),
            (
                "Try again when Postgres accepts connections. Check DATABASE_URL, and that Postgres"
                " is running."
            ),
        ),
        ((STANDBY, WRONG_PASSWORD, STANDBY), "Check DATABASE_URL."),
        ((DOWN, DOWN, DOWN), "Check DATABASE_URL, and that Postgres is running."),
        (
            (WAITS, STANDBY, STARTING),
            (
                "Check that a standby named in synchronous_standby_names is running, and follows"
                " the primary. Try again when Postgres accepts connections."
            ),
        ),
        # libpq tries one host twice, with TLS and without.
        (
            (combined([WRONG_PASSWORD, STARTING]), STARTING, STANDBY),
            ("Check DATABASE_URL. Try again when Postgres accepts connections."),
        ),
        ((STANDBY, STANDBY, STANDBY), "Name the primary in DATABASE_URL."),
        (
            (STANDBY, DOWN, SILENT),
            "Name the primary in DATABASE_URL, and check that it is running.",
        ),
    ],
)
def test_the_advice_fits_every_host(answers: tuple[Answer, ...], remedy: str) -> None:
    assert failure(Route(ROUTE), *answers).remedy == remedy


def test_a_name_that_is_not_resolved_in_time_leaves_time_for_the_others() -> None:
    async def work() -> None:
        route = Route("postgresql:///x?host=db.example,10.0.0.2&hostaddr=,10.0.0.2&port=5432")
        assert await try_hosts(route, 0.4, attempts({TWO: PRIMARY}, [])) == PRIMARY
        assert {str(host) for host in route.silent} == {"db.example port 5432"}
        with pytest.raises(Unavailable, match=r"db\.example was not resolved in time"):
            await try_hosts(route, 0.1, attempts({TWO: DOWN}, []))

    with name_servers() as servers:
        servers.silent.add("db.example")
        run_at_once(work())

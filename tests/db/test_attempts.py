"""Attempts with one host after another: their time limits, and the error if all fail."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import pytest

from db.attempts import try_hosts
from db.errors import (
    ConnectionRejected,
    PoolerNotSupported,
    ReadOnly,
    SchemaError,
    Unavailable,
)
from db.hosts import Host
from db.route import Route

# Addresses, so that no name is resolved.
ROUTE = "postgresql://10.0.0.1,10.0.0.2,10.0.0.3/x?hostaddr=10.0.0.1,10.0.0.2,10.0.0.3"
ONE, TWO, THREE = Route(ROUTE).hosts
STANDBY, DOWN, REJECTS = ReadOnly("a standby"), Unavailable("down"), ConnectionRejected("too many")
SILENT = "silent"
PRIMARY = "primary"
Answer = Exception | str


def attempts(answers: Mapping[Host, Answer], tried: list[Host]) -> Callable[[Host], Awaitable[str]]:
    """Return an attempt that gets the answer of a host, and lists the hosts that it tried."""

    async def attempt(host: Host) -> str:
        tried.append(host)
        answer = answers[host]
        if answer == SILENT:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    return attempt


def run(route: Route, seconds: float, *answers: Answer) -> tuple[list[Host], float]:
    """Try the hosts of a route; return those that were tried, and the seconds that it took."""
    tried: list[Host] = []

    async def work() -> float:
        clock = asyncio.get_running_loop().time
        began = clock()
        by_host = dict(zip((ONE, TWO, THREE), answers, strict=True))
        assert await try_hosts(route, seconds, attempts(by_host, tried)) == PRIMARY
        return clock() - began

    return tried, asyncio.run(work())


def failure(route: Route, *answers: Answer) -> Unavailable:
    """Return the error of a route that does not lead to a primary."""
    with pytest.raises(Unavailable) as raised:
        run(route, 0.15, *answers)
    return raised.value


@pytest.mark.parametrize("answer", [STANDBY, DOWN, REJECTS])
def test_a_host_that_fails_is_passed(answer: Exception) -> None:
    tried, _ = run(Route(ROUTE), 60, answer, answer, PRIMARY)
    assert tried == [ONE, TWO, THREE]


def test_silent_hosts_leave_time_for_the_others() -> None:
    tried, seconds = run(Route(ROUTE), 0.6, SILENT, SILENT, PRIMARY)
    assert tried == [ONE, TWO, THREE]
    assert 0.3 < seconds < 0.6


def test_one_of_several_hosts_gets_at_most_a_second() -> None:
    _, seconds = run(Route(ROUTE), 600, SILENT, PRIMARY, PRIMARY)
    assert 0.9 < seconds < 30


def test_a_host_alone_gets_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.attempts._ANSWER_SECONDS", 0.0)

    async def answer_late(_: Host) -> str:
        # Many turns of the loop, in the first of which the limit of one of several hosts ends.
        for _turn in range(1000):
            await asyncio.sleep(0)
        return PRIMARY

    route = Route("postgresql://10.0.0.1/x?hostaddr=10.0.0.1")
    assert asyncio.run(try_hosts(route, 60, answer_late)) == PRIMARY


def test_the_last_of_several_hosts_gets_no_more_than_the_others() -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="no response in time"):
        run(Route(ROUTE), 60, DOWN, DOWN, SILENT)
    assert time.monotonic() - began < 30


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
        # It may be busy: to end its connections would make it worse.
        (ONE, (SILENT, STANDBY, STANDBY), Unavailable),
    ],
)
def test_connections_end_if_no_host_can_be_the_primary(
    primary: Host | None, answers: tuple[Answer, ...], kind: type[Unavailable]
) -> None:
    """ReadOnly ends them: Database.react()."""
    route = Route(ROUTE)
    route.primary = primary
    assert type(failure(route, *answers)) is kind


def test_a_name_that_is_not_resolved_in_time_leaves_time_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[Host] = []

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never, raising=False)
        route = Route("postgresql:///x?host=db.example,10.0.0.2&hostaddr=,10.0.0.2&port=5432")
        assert await try_hosts(route, 0.4, attempts({TWO: PRIMARY}, tried)) == PRIMARY
        assert {str(host) for host in route.silent} == {"db.example port 5432"}
        with pytest.raises(Unavailable, match=r"db\.example was not resolved in time"):
            await try_hosts(route, 0.1, attempts({TWO: DOWN}, tried))

    asyncio.run(work())

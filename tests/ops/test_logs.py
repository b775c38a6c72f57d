"""The log line of each request."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Callable

import pytest

from handlers import routes
from ops.line_limit import LineLimit
from ops.log_format import LogFormat
from ops.logged_requests import FREQUENT_ROUTES, LoggedRequests
from ops.logs import configure_logging, open_log
from ops.rare_warning import RareWarning
from ops.request_log import RequestLog, RequestRecord
from ops.trace_context import TraceParent
from tests.harness.clock import Clock
from tests.harness.waiting import until

RECORD = RequestRecord(
    method="GET",
    route="/api/user",
    status=200,
    milliseconds=1.25,
    database_milliseconds=0.5,
    hashing_milliseconds=0.0,
    request_id="id-7",
    client_request_id=None,
    user_id=None,
    problem=None,
    ip=None,
    trace=None,
)
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO"
    r" [A-Z]+ [!-~ ]* \d{3} \d+\.\dms database=\d+\.\dms hashing=\d+\.\dms"
    r" request=[\w.-]+ user=[\w-]+"
)


def written(
    clock: Clock, work: Callable[[RequestLog], None], form: LogFormat = LogFormat.TEXT
) -> list[str]:
    """Do some work with a request log; return the lines that it then writes."""

    async def run() -> str:
        stream = io.StringIO()
        work(RequestLog(open_log(stream, form), clock, json.dumps))
        assert stream.getvalue() == ""
        await until(stream.getvalue)
        return stream.getvalue()

    text = asyncio.run(run())
    assert text.endswith("\n")
    return text.removesuffix("\n").split("\n")


def test_a_text_line_has_the_time_the_request_its_result_and_the_user(clock: Clock) -> None:
    clock.now = 1_800_000_000.0625
    lines = written(clock, lambda log: log.write(RECORD._replace(user_id="7b9c")))
    [line] = lines
    assert line == (
        "2027-01-15T08:00:00.062Z INFO GET /api/user 200 1.2ms database=0.5ms hashing=0.0ms"
        " request=id-7 user=7b9c"
    )


def test_a_json_line_has_the_same_values_as_fields(clock: Clock) -> None:
    clock.now = 1_800_000_000.0625
    trace = TraceParent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", is_sampled=True)
    record = RECORD._replace(
        user_id="7b9c",
        trace=trace,
        client_request_id="mine",
        ip="192.0.2.1",
        problem="too-many-tries",
    )
    [line] = written(clock, lambda log: log.write(record), LogFormat.JSON)
    assert json.loads(line) == {
        "event": "request",
        "time": "2027-01-15T08:00:00.062Z",
        "level": "info",
        "method": "GET",
        "route": "/api/user",
        "status": 200,
        "milliseconds": 1.25,
        "database_milliseconds": 0.5,
        "hashing_milliseconds": 0.0,
        "request_id": "id-7",
        "user_id": "7b9c",
        "problem": "too-many-tries",
        "client_request_id": "mine",
        "ip": "192.0.2.1",
        "trace_id": trace.trace_id,
        "parent_id": trace.parent_id,
    }


def test_auto_is_text_on_a_terminal_and_json_otherwise() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert LogFormat.AUTO.chosen_for(Terminal()) is LogFormat.TEXT
    assert LogFormat.AUTO.chosen_for(io.StringIO()) is LogFormat.JSON
    assert LogFormat.JSON.chosen_for(Terminal()) is LogFormat.JSON
    assert LogFormat.TEXT.chosen_for(io.StringIO()) is LogFormat.TEXT


def test_each_request_has_one_line_in_order(clock: Clock) -> None:
    def work(log: RequestLog) -> None:
        for number in range(100):
            log.write(RECORD._replace(request_id=f"id-{number}"))
            clock.advance(0.5)

    lines = written(clock, work)
    assert [line.split("request=")[1].split()[0] for line in lines] == [
        f"id-{number}" for number in range(100)
    ]
    assert [line[17:24] for line in lines[:3]] == ["00.000Z", "00.500Z", "01.000Z"]


def test_a_text_line_has_the_problem_the_callers_id_the_address_and_the_trace_if_known(
    clock: Clock,
) -> None:
    trace = TraceParent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", is_sampled=True)
    record = RECORD._replace(
        trace=trace, client_request_id="mine", ip="192.0.2.1", problem="token-invalid"
    )
    [line] = written(clock, lambda log: log.write(record))
    assert line.endswith(
        f" user=- problem=token-invalid client=mine ip=192.0.2.1 trace={trace.trace_id}"
    )


async def until_lines(stream: io.StringIO, number: int) -> None:
    await until(lambda: stream.getvalue().count("\n") >= number)


def test_later_requests_are_written_later_and_none_twice(clock: Clock) -> None:
    async def run() -> None:
        stream = io.StringIO()
        writer = open_log(stream, LogFormat.TEXT)
        log = RequestLog(writer, clock, json.dumps)
        for number in (1, 2, 3):
            log.write(RECORD)
            await until_lines(stream, number)
        log.write(RECORD)
        log.flush()
        log.flush()
        writer.close(2)
        assert stream.getvalue().count("\n") == 4

    asyncio.run(run())


def test_a_buffered_stream_is_flushed(clock: Clock) -> None:
    class Stream(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    async def run() -> None:
        stream = Stream()
        writer = open_log(stream, LogFormat.TEXT)
        log = RequestLog(writer, clock, json.dumps)
        log.write(RECORD)
        log.flush()
        writer.close(2)
        assert stream.flushed.count("\n") == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("requests", "logged"),
    [
        (LoggedRequests.ALL, ["/api/user 200", "/api/user 404", "/api/verify 401"]),
        (LoggedRequests.FAILED, ["/api/user 404", "/api/verify 401"]),
        (LoggedRequests.NONE, []),
    ],
)
def test_only_the_chosen_requests_are_logged(
    clock: Clock, requests: LoggedRequests, logged: list[str]
) -> None:
    async def run() -> str:
        stream = io.StringIO()
        writer = open_log(stream, LogFormat.TEXT)
        log = RequestLog(writer, clock, json.dumps, requests)
        for route, status in (
            ("/api/user", 200),
            ("/api/user", 404),
            ("/api/verify", 200),
            ("/api/verify", 401),
            ("/health/live", 200),
            ("/health/ready", 200),
        ):
            log.write(RECORD._replace(route=route, status=status))
        log.flush()
        writer.close(2)
        return stream.getvalue()

    lines = asyncio.run(run()).splitlines()
    assert [" ".join(line.split()[3:5]) for line in lines] == logged


def test_the_frequent_routes_exist() -> None:
    assert {str(path) for path, _ in routes} >= FREQUENT_ROUTES


def test_a_rare_warning_is_logged_once_a_minute_with_its_fields(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    warning = RareWarning("too much", clock)
    for number in range(121):
        warning.log(peer=f"192.0.2.{number}")
        clock.advance(1)
    assert caplog.messages == ["too much"] * 3
    assert [vars(record)["peer"] for record in caplog.records] == [
        "192.0.2.0",
        "192.0.2.60",
        "192.0.2.120",
    ]


def test_a_rare_warning_has_the_values_of_its_occurrence(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    RareWarning("%d of %r", clock).log(2, "100%")
    assert caplog.messages == ["2 of '100%'"]


def flooded(clock: Clock, limit: LineLimit, records: list[RequestRecord]) -> list[str]:
    """Return what the request log writes of these records."""

    async def run() -> str:
        stream = io.StringIO()
        writer = open_log(stream, LogFormat.TEXT)
        log = RequestLog(writer, clock, json.dumps, limit=limit)
        for record in records:
            log.write(record)
        log.flush()
        limit.end_period()
        writer.close(2)
        return stream.getvalue()

    return asyncio.run(run()).splitlines()


def test_a_flood_of_rejections_gets_some_lines_and_their_number(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    throttled = RECORD._replace(route="/api/user/login", status=429, problem="too-many-tries")
    overloaded = throttled._replace(status=503, problem="overloaded")
    few = throttled._replace(route="/api/user")
    lines = flooded(clock, LineLimit(max_lines=3), 10 * [throttled, overloaded] + 3 * [few])
    assert len(lines) == 9
    assert caplog.messages == ["log lines omitted"] * 2
    fields = ("lines", "route", "status", "problem", "omitted")
    assert [[vars(record)[name] for name in fields] for record in caplog.records] == [
        ["request", "/api/user/login", "429", "too-many-tries", 7],
        ["request", "/api/user/login", "503", "overloaded", 7],
    ]


def test_no_line_of_another_status_is_omitted(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    records = [RECORD._replace(status=status) for status in (200, 401, 403, 404, 500)]
    assert len(flooded(clock, LineLimit(max_lines=1), 3 * records)) == 15
    assert caplog.messages == []


async def until_logged(caplog: pytest.LogCaptureFixture, number: int) -> None:
    await until(lambda: len(caplog.records) >= number)


def test_omitted_lines_are_reported_at_the_end_of_their_period(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        limit = LineLimit(max_lines=1, seconds=0.01)
        for number in (1, 2):
            assert [limit.admits(lines="request") for _ in range(3)] == [True, False, False]
            await until_logged(caplog, number)
        limit.end_period()

    asyncio.run(run())
    assert [vars(record)["omitted"] for record in caplog.records] == [2, 2]


def test_a_text_line_has_the_number_and_the_fields_of_omitted_lines() -> None:
    async def run() -> None:
        limit = LineLimit(max_lines=1)
        for _ in range(3):
            limit.admits(lines="request", route="/api/user/login", status="429", problem="x")
        limit.end_period()

    stream = io.StringIO()
    writer = open_log(stream, LogFormat.TEXT)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure_logging(writer)
        asyncio.run(run())
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    writer.close(2)
    assert stream.getvalue().endswith(
        " WARNING log lines omitted route=/api/user/login status=429 problem=x lines=request"
        " omitted=2\n"
    )

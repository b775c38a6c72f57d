"""The line of each request."""

import asyncio
import io
import json
import re
from collections.abc import Callable

import pytest

from ops.log_format import LogFormat
from ops.logs import RequestLog, RequestRecord
from ops.trace_context import TraceParent
from tests.clock import Clock

RECORD = RequestRecord(
    method="GET",
    path="/api/user",
    route="/api/user",
    status=200,
    milliseconds=1.25,
    database_milliseconds=0.5,
    hashing_milliseconds=0.0,
    request_id="id-7",
    user_id=None,
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
    """Return the lines that are written, by themselves, after some work."""

    async def run() -> str:
        stream = io.StringIO()
        work(RequestLog(stream, clock, form, json.dumps))
        assert stream.getvalue() == ""
        async with asyncio.timeout(2):
            while not stream.getvalue():
                await asyncio.sleep(0.001)
        return stream.getvalue()

    text = asyncio.run(run())
    assert text.endswith("\n")
    return text.removesuffix("\n").split("\n")


def test_a_line_tells_what_when_how_and_who(clock: Clock) -> None:
    clock.now = 1_800_000_000.0625
    lines = written(clock, lambda log: log.write(RECORD._replace(user_id="7b9c")))
    [line] = lines
    assert line == (
        "2027-01-15T08:00:00.062Z INFO GET /api/user 200 1.2ms database=0.5ms hashing=0.0ms"
        " request=id-7 user=7b9c"
    )


def test_as_json_an_event_tells_the_same_by_name(clock: Clock) -> None:
    clock.now = 1_800_000_000.0625
    trace = TraceParent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", is_sampled=True)
    record = RECORD._replace(user_id="7b9c", trace=trace)
    [line] = written(clock, lambda log: log.write(record), LogFormat.JSON)
    assert json.loads(line) == {
        "event": "request",
        "time": "2027-01-15T08:00:00.062Z",
        "level": "info",
        "method": "GET",
        "path": "/api/user",
        "route": "/api/user",
        "status": 200,
        "milliseconds": 1.25,
        "database_milliseconds": 0.5,
        "hashing_milliseconds": 0.0,
        "request_id": "id-7",
        "user_id": "7b9c",
        "trace_id": trace.trace_id,
        "parent_id": trace.parent_id,
    }


def test_json_is_for_programs_and_text_for_terminals() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert LogFormat.AUTO.chosen_for(Terminal()) is LogFormat.TEXT
    assert LogFormat.AUTO.chosen_for(io.StringIO()) is LogFormat.JSON
    assert LogFormat.JSON.chosen_for(Terminal()) is LogFormat.JSON
    assert LogFormat.TEXT.chosen_for(io.StringIO()) is LogFormat.TEXT


def test_each_request_has_a_line_in_its_order(clock: Clock) -> None:
    def work(log: RequestLog) -> None:
        for number in range(100):
            log.write(RECORD._replace(request_id=f"id-{number}"))
            clock.advance(0.5)

    lines = written(clock, work)
    assert [line.split("request=")[1].split()[0] for line in lines] == [
        f"id-{number}" for number in range(100)
    ]
    assert [line[17:24] for line in lines[:3]] == ["00.000Z", "00.500Z", "01.000Z"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a\nb", r"/a\nb"),
        ("/a\r\n2027-01-15T08:00:00.000Z INFO", r"/a\r\n2027-01-15T08:00:00.000Z INFO"),
        ("/\x00\x1b[2J\x7f", r"/\x00\x1b[2J\x7f"),
        ("/\x85\x0b\x0c", r"/\x85\x0b\x0c"),
        ("/\u2028\u2029", r"/\u2028\u2029"),
        ("/\u202e", r"/\u202e"),
        ("/grüße", r"/gr\xfc\xdfe"),
        ("/😀", r"/\U0001f600"),
        ("/\ud800", r"/\ud800"),
        ("/a%0ab?", "/a%0ab?"),
        ("", ""),
    ],
)
def test_a_path_breaks_no_line_and_forges_none(clock: Clock, path: str, shown: str) -> None:
    [line] = written(clock, lambda log: log.write(RECORD._replace(path=path)))
    assert line.isascii()
    assert LINE.fullmatch(line)
    assert f"Z INFO GET {shown} 200 " in line


def test_what_comes_later_is_written_later_and_nothing_twice(clock: Clock) -> None:
    async def run() -> None:
        stream = io.StringIO()
        log = RequestLog(stream, clock, LogFormat.TEXT, json.dumps)
        for number in (1, 2, 3):
            log.write(RECORD)
            async with asyncio.timeout(2):
                while stream.getvalue().count("\n") < number:
                    await asyncio.sleep(0.001)
        log.write(RECORD)
        log.flush()
        assert stream.getvalue().count("\n") == 4
        log.flush()
        assert stream.getvalue().count("\n") == 4

    asyncio.run(run())


def test_a_stream_that_gathers_is_flushed(clock: Clock) -> None:
    class Stream(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    async def run() -> None:
        stream = Stream()
        log = RequestLog(stream, clock, LogFormat.TEXT, json.dumps)
        log.write(RECORD)
        log.flush()
        assert stream.flushed.count("\n") == 1

    asyncio.run(run())

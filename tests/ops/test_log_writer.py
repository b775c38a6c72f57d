"""The log writer never blocks, and reports dropped lines."""

import io
import json
import logging
from collections.abc import Iterator
from threading import Event

import pytest

from ops.log_format import LogFormat
from ops.log_writer import LogWriter
from ops.logs import configure_logging, open_log
from tests.harness.waiting import WORK_SECONDS, wait_until


class Stuck(io.StringIO):
    """A stream that blocks until it is released; ``is_asked`` is set at the first write."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_continue = Event(), Event()

    def write(self, text: str) -> int:
        self.is_asked.set()
        assert self.may_continue.wait(WORK_SECONDS)
        return super().write(text)


class Broken(io.StringIO):
    """A stream that fails until it is repaired."""

    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__()
        self.is_broken = True
        self._failure = failure or BrokenPipeError()

    def write(self, text: str) -> int:
        if self.is_broken:
            raise self._failure
        return super().write(text)


@pytest.fixture
def _own_logging() -> Iterator[None]:
    root, general = logging.getLogger(), logging.getLogger("tornado.general")
    before = root.handlers[:], root.level, general.level
    yield
    root.handlers[:], root.level, general.level = before


def wait_until_dropped(writer: LogWriter, number: int) -> None:
    wait_until(lambda: writer.dropped >= number)


def test_lines_beyond_the_limit_are_dropped_counted_and_reported() -> None:
    stream = Stuck()
    writer = LogWriter(stream, LogFormat.TEXT, "{} dropped\n".format, max_characters=12)
    writer.write("first\n")
    wait_until(stream.is_asked.is_set)
    writer.write("next\n")
    for _ in range(100):
        writer.write("too\nmany\n")
    assert writer.dropped == 200
    stream.may_continue.set()
    writer.close(WORK_SECONDS)
    assert stream.getvalue() == "first\nnext\n200 dropped\n"


def test_lines_are_written_again_once_the_stream_accepts_them() -> None:
    stream = Stuck()
    writer = LogWriter(stream, LogFormat.TEXT, "{} dropped\n".format, max_characters=6)
    writer.write("first\n")
    writer.write("lost\n")
    stream.may_continue.set()
    wait_until(lambda: "dropped" in stream.getvalue())
    assert writer.dropped == 1
    writer.close(WORK_SECONDS)
    assert stream.getvalue() == "first\n1 dropped\n"


@pytest.mark.parametrize(
    "failure", [BrokenPipeError(), ValueError("I/O operation on closed file.")], ids=repr
)
def test_lines_lost_to_write_errors_are_counted_and_reported_later(
    failure: Exception,
) -> None:
    stream = Broken(failure)
    writer = LogWriter(stream, LogFormat.TEXT, "{} dropped\n".format)
    writer.write("lost\n")
    wait_until_dropped(writer, 1)
    stream.is_broken = False
    writer.write("kept\n")
    writer.close(WORK_SECONDS)
    assert stream.getvalue() == "kept\n1 dropped\n"


def test_lines_lost_to_several_write_errors_in_a_row_are_each_counted_once() -> None:
    stream = Broken()
    writer = LogWriter(stream, LogFormat.TEXT, "{} dropped\n".format)
    for number in range(1, 6):
        writer.write("lost\n")
        wait_until_dropped(writer, number)
    assert writer.dropped == 5
    stream.is_broken = False
    writer.write("kept\n")
    writer.close(WORK_SECONDS)
    assert stream.getvalue() == "kept\n5 dropped\n"


def test_close_waits_for_a_blocked_stream_only_for_its_time_limit() -> None:
    stream = Stuck()
    writer = LogWriter(stream, LogFormat.TEXT, "{} dropped\n".format)
    writer.write("first\n")
    writer.close(0.01)
    assert stream.getvalue() == ""
    stream.may_continue.set()


@pytest.mark.parametrize("form", [LogFormat.TEXT, LogFormat.JSON])
def test_the_report_of_dropped_lines_has_the_format_of_the_log(form: LogFormat) -> None:
    stream = Broken()
    writer = open_log(stream, form)
    writer.write("lost\n")
    wait_until_dropped(writer, 1)
    stream.is_broken = False
    writer.write("kept\n")
    writer.close(WORK_SECONDS)
    line = stream.getvalue().splitlines()[-1]
    message = (
        json.loads(line)["event"] if form is LogFormat.JSON else line.partition(" WARNING ")[2]
    )
    assert message == "log lines dropped: 1"


@pytest.mark.usefixtures("_own_logging")
@pytest.mark.parametrize("form", [LogFormat.TEXT, LogFormat.JSON])
def test_messages_and_traces_have_a_bounded_length(form: LogFormat) -> None:
    stream = io.StringIO()
    writer = open_log(stream, form)
    configure_logging(writer)
    failure = ValueError("x" * 100_000)
    logging.getLogger("userauth").error("y" * 100_000, exc_info=failure)
    logging.getLogger("userauth").warning("%d", "no number")
    writer.close(WORK_SECONDS)
    text = stream.getvalue()
    assert 1_000 < len(text) < 20_000
    assert "ValueError" in text
    last = text.splitlines()[-1]
    assert "a message cannot be formatted" in last
    assert (form is LogFormat.JSON) == last.startswith("{")

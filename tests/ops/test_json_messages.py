"""The lines of messages in a JSON log."""

import io
import json
import logging
import os
from collections.abc import Callable

import pytest

from ops.log_format import LogFormat
from ops.logs import configure_logging, log_failure, log_rejection, open_log


def written(work: Callable[[logging.Logger], None]) -> list[dict[str, object]]:
    """Do some work with a logger; return the objects of the lines that it writes."""
    stream = io.StringIO()
    writer = open_log(stream, LogFormat.JSON)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure_logging(writer)
        work(logging.getLogger("userauth"))
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    writer.close(20)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_message_has_its_text_level_time_and_fields_alone() -> None:
    [line] = written(lambda log: log.warning("%d of %s", 3, "four", extra={"peer": "é\n", "n": 5}))
    assert str(line.pop("time")).endswith("Z")
    assert line == {"event": "3 of four", "level": "warning", "peer": "é\n", "n": 5}


def test_an_exception_is_a_field_with_its_traceback() -> None:
    def fail(_: logging.Logger) -> None:
        try:
            os.environ["x" * 40_000]
        except KeyError as error:
            log_failure({"request_id": "id-7"}, error)

    [line] = written(fail)
    exception = str(line["exception"])
    assert (line["event"], line["request_id"]) == ("request failed", "id-7")
    assert exception.startswith("Traceback (most recent call last):\n")
    assert exception.endswith("x'")
    assert len(exception) < 16_000


def test_values_are_bounded_and_need_not_be_those_of_json() -> None:
    extra = {"cause": "y" * 5_000, "kind": object}
    [line] = written(lambda log: log.info("x" * 5_000, extra=extra))
    assert (len(str(line["event"])), len(str(line["cause"]))) == (1_507, 1_507)
    assert line["kind"] == "<class 'object'>"


def test_a_cause_without_a_message_is_named_by_its_class(caplog: pytest.LogCaptureFixture) -> None:
    for cause in (TimeoutError(), TimeoutError("too late"), None):
        log_rejection({}, "database-unavailable", cause)
    causes = [vars(record)["cause"] for record in caplog.records]
    assert causes == ["TimeoutError", "too late", "-"]

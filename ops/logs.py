"""The log of the server: text or JSON lines on standard error.

The log contains nothing that callers send except their request ids: no path, header, query string,
body or email address. The length of a line is bounded.
"""

import json
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, TextIO

from ops.log_format import LogFormat, timestamp
from ops.log_writer import LogWriter

SERVER = "userauth"
# Maximum lengths of a message, and of an exception with its traceback.
_MAX_MESSAGE = 2_000
_MAX_EXCEPTION = 16_000
_LIMITS = (("event", _MAX_MESSAGE), ("cause", _MAX_MESSAGE), ("exception", _MAX_EXCEPTION))
# The attributes of every record; others are the fields of a message.
_ATTRIBUTES = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})
# Constant, so that programs can group the events; the fields contain the details.
REQUEST_FAILED = "request failed"
# Fields of messages, and their names in text.
_LABELS = (
    ("method", "method"),
    ("route", "route"),
    ("status", "status"),
    ("peer", "peer"),
    ("problem", "problem"),
    ("request_id", "request"),
    ("client_request_id", "client"),
    ("cause", "cause"),
    ("lines", "lines"),
    ("omitted", "omitted"),
)


def open_log(stream: TextIO, log_format: LogFormat) -> LogWriter:
    """Return a writer for a stream, which reports dropped lines in the format of the log."""
    chosen = log_format.chosen_for(stream)
    return LogWriter(stream, chosen, partial(_dropped_line, chosen))


def configure_logging(writer: LogWriter) -> None:
    """Write all messages of the logging module to the log, with times in UTC."""
    handler = _Handler(writer)
    if writer.format is LogFormat.JSON:
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(_TextFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # At INFO, Tornado logs malformed requests, and quotes them.
    general = logging.getLogger("tornado.general")
    general.setLevel(logging.WARNING)
    general.addFilter(_is_not_caused_by_peer)


class _Handler(logging.Handler):
    """Passes messages of the logging module to the writer of the log."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - the logging module would write to the stream
            record.msg, record.args, record.exc_info = "a message cannot be formatted", (), None
            line = self.format(record)
        self._writer.write(line + "\n")


def _is_not_caused_by_peer(record: logging.LogRecord) -> bool:
    """Drop TLS errors of peers, which are frequent on a public address."""
    return not str(record.msg).startswith(("SSL Error on", "error on read: [SSL"))


class RequestIds(NamedTuple):
    """The server's id of a request, and the caller's own, if any."""

    ours: str
    callers: str | None = None

    def fields(self) -> dict[str, str]:
        """Return the fields of a message about the request."""
        optional = {} if self.callers is None else {"client_request_id": self.callers}
        return {"request_id": self.ours, **optional}


def log_failure(fields: Mapping[str, str], error: BaseException) -> None:
    """Log the failure of a request with these fields, and its traceback."""
    logging.getLogger(SERVER).error(REQUEST_FAILED, exc_info=error, extra=fields)


def log_rejection(fields: Mapping[str, str], problem: str, cause: BaseException | None) -> None:
    """Log the cause of an error response that the caller did not cause."""
    extra = {**fields, "problem": problem, "cause": _text(cause)}
    logging.getLogger(SERVER).warning(REQUEST_FAILED, extra=extra)


def _text(cause: BaseException | None) -> str:
    """Return the message of a cause, or its class if it has none, as a TimeoutError."""
    return "-" if cause is None else str(cause) or type(cause).__name__


class _TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line of a message and its fields, with a bounded length."""
        values = vars(record)
        fields = "".join(f" {label}={values[name]}" for name, label in _LABELS if name in values)
        return _shortened(super().formatMessage(record) + fields, _MAX_MESSAGE)

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, Any] | tuple[None, None, None]
    ) -> str:
        """Return the lines of an exception, with a bounded length."""
        return _shortened(super().formatException(ei), _MAX_EXCEPTION)


class _JsonFormatter(logging.Formatter):
    """Formats a message as an object of its text, fields, time and exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a message, with bounded lengths."""
        event: dict[str, object] = {"event": record.getMessage(), "level": record.levelname.lower()}
        event |= {name: each for name, each in vars(record).items() if name not in _ATTRIBUTES}
        event["time"] = timestamp(record.created)
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        for name, limit in _LIMITS:
            if name in event:
                event[name] = _shortened(str(event[name]), limit)
        return json.dumps(event, default=repr)


def _shortened(text: str, limit: int) -> str:
    """Return a text without its middle if it is too long: a traceback ends with the cause."""
    return text if len(text) <= limit else f"{text[: limit // 4]} [...] {text[-limit // 2 :]}"


def _dropped_line(log_format: LogFormat, number: int) -> str:
    now, message = timestamp(time.time()), f"log lines dropped: {number}"
    if log_format is LogFormat.JSON:
        return json.dumps({"event": message, "level": "warning", "time": now}) + "\n"
    return f"{now} WARNING {message}\n"

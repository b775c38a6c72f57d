"""What is logged, and in which form: text for people, or JSON lines; on standard error.

Nothing a client keeps secret is written: no header, no query string, no body, no e-mail.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TextIO

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level

from ops.log_format import LogFormat
from ops.trace_context import TraceParent

SERVER = "userauth"
# How long lines wait for others: what a crash can lose.
_GATHER_SECONDS = 0.02
_Event = MutableMapping[str, Any]
# Writes JSON, called as json.dumps is.
Serializer = Callable[..., str]


class RequestRecord(NamedTuple):
    """What is told of one request: a tuple, since a frozen dataclass takes twice as long to make.

    Times are in milliseconds.
    """

    method: str
    path: str
    route: str
    status: int
    milliseconds: float
    database_milliseconds: float
    hashing_milliseconds: float
    request_id: str
    user_id: str | None
    trace: TraceParent | None


def configure_logging(form: LogFormat) -> None:
    """Send everything to standard error, a line each, with the time in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    if form.chosen_for(sys.stderr) is LogFormat.JSON:
        handler.setFormatter(_json_formatter())
    else:
        handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Tornado tells of malformed requests at INFO, and quotes them.
    general = logging.getLogger("tornado.general")
    general.setLevel(logging.WARNING)
    general.addFilter(_is_no_fault_of_a_client)


def _is_no_fault_of_a_client(told: logging.LogRecord) -> bool:
    """Leave out that a client does not speak TLS, or badly: on a public address many do."""
    return not str(told.msg).startswith(("SSL Error on", "error on read: [SSL"))


class RequestEvents(Protocol):
    """Is told of each request that was answered."""

    def write(self, record: RequestRecord) -> None: ...


class RequestLog:
    """Writes an event for each request, those of a few milliseconds together.

    With the logging module below it, structlog would take a fifth of the time that the whole answer
    takes; here, it stands on a list, and has the events of many requests to do at a time, which is
    quicker by half. ``dumps`` is quicker than the standard library's for JSON.
    """

    def __init__(
        self, stream: TextIO, clock: Callable[[], float], form: LogFormat, dumps: Serializer
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._records: list[tuple[float, RequestRecord]] = []
        self._lines: list[str] = []
        json = structlog.processors.JSONRenderer(serializer=dumps)
        is_json = form.chosen_for(stream) is LogFormat.JSON
        self._logger = structlog.wrap_logger(
            self,
            processors=[_add_level, json if is_json else _text],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        ).bind()

    def write(self, record: RequestRecord) -> None:
        """Write the event of one request, soon."""
        if not self._records:
            asyncio.get_running_loop().call_later(_GATHER_SECONDS, self.flush)
        self._records.append((self._clock(), record))

    def flush(self) -> None:
        """Hand over what was written so far."""
        records, self._records = self._records, []
        for ended, record in records:
            self._log(ended, record)
        lines, self._lines = self._lines, []
        self._stream.write("".join(lines))
        self._stream.flush()

    def info(self, line: str) -> None:
        """Take a line; structlog calls it."""
        self._lines.append(line + "\n")

    def _log(self, ended: float, record: RequestRecord) -> None:
        trace = record.trace
        self._logger.info(
            "request",
            method=record.method,
            path=_printable(record.path),
            route=record.route,
            status=record.status,
            milliseconds=round(record.milliseconds, 2),
            database_milliseconds=round(record.database_milliseconds, 2),
            hashing_milliseconds=round(record.hashing_milliseconds, 2),
            request_id=record.request_id,
            user_id=record.user_id,
            **({"trace_id": trace.trace_id, "parent_id": trace.parent_id} if trace else {}),
            time=_timestamp(ended),
        )


def log_failure(request_id: str, error: BaseException) -> None:
    """Write what the server could not do for a request, with the trace."""
    logging.getLogger(SERVER).error(
        "request=%s failed", request_id, exc_info=error, extra={"request_id": request_id}
    )


def log_refusal(request_id: str, title: str, cause: BaseException | None) -> None:
    """Write why a request was refused for a reason that is not the client's."""
    logging.getLogger(SERVER).warning(
        "request=%s %s (%s)", request_id, title, cause or "-", extra={"request_id": request_id}
    )


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


def _json_formatter() -> logging.Formatter:
    return ProcessorFormatter(
        foreign_pre_chain=[add_log_level, ExtraAdder(), _timed_as_logged],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )


def _timed_as_logged(_logger: object, _method: str, event: _Event) -> _Event:
    event["time"] = _timestamp(event["_record"].created)
    return event


def _add_level(_logger: object, method: str, event: _Event) -> _Event:
    event["level"] = method
    return event


def _text(_logger: object, _method: str, event: _Event) -> str:
    trace = f" trace={event['trace_id']}" if "trace_id" in event else ""
    return (
        f"{event['time']} INFO {event['method']} {event['path']} {event['status']}"
        f" {event['milliseconds']:.1f}ms database={event['database_milliseconds']:.1f}ms"
        f" hashing={event['hashing_milliseconds']:.1f}ms request={event['request_id']}"
        f" user={event['user_id'] or '-'}{trace}"
    )


def _timestamp(seconds: float) -> str:
    """Return a time in UTC seconds as RFC 3339 has it, to the millisecond."""
    return f"{_second(int(seconds))}.{int(seconds * 1000) % 1000:03d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _printable(text: str) -> str:
    """Return text in which nothing can break or forge a line."""
    if text.isascii() and text.isprintable():
        return text
    return text.encode("unicode_escape").decode("ascii")

"""What is logged, and in which form: text for people, or JSON lines; on standard error.

Of what a client sends nothing is written but the id that it gave its request: no path, no header,
no query string, no body, no e-mail. A line has a bounded length.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, MutableMapping
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol, TextIO

import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level

from ops.log_format import LogFormat
from ops.log_writer import LogWriter
from ops.trace_context import TraceParent

SERVER = "userauth"
# How long lines wait for others: what a crash can lose.
_GATHER_SECONDS = 0.02
# Of a message, and of an exception with its trace.
_LONGEST_MESSAGE = 2_000
_LONGEST_EXCEPTION = 16_000
# Credentials were refused, or have to wait: only then the client's address is written.
REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
# What a line has only where there is something to tell, and how text names it.
_MORE = (("client_request_id", "client"), ("ip", "ip"), ("trace_id", "trace"))
_Event = MutableMapping[str, Any]
# Writes JSON, called as json.dumps is.
Serializer = Callable[..., str]


class RequestRecord(NamedTuple):
    """What is told of one request: a tuple, since a frozen dataclass takes twice as long to make.

    Times are in milliseconds. ``ip`` is there where credentials were refused.
    """

    method: str
    route: str
    status: int
    milliseconds: float
    database_milliseconds: float
    hashing_milliseconds: float
    request_id: str
    client_request_id: str | None
    user_id: str | None
    ip: str | None
    trace: TraceParent | None


def open_log(stream: TextIO, form: LogFormat) -> LogWriter:
    """Return what writes to a stream, and tells in the form of the log how much it dropped."""
    chosen = form.chosen_for(stream)
    return LogWriter(stream, chosen, partial(_dropped_line, chosen))


def configure_logging(writer: LogWriter) -> None:
    """Send everything to the log, a line each, with the time in UTC."""
    handler = _Handler(writer)
    if writer.form is LogFormat.JSON:
        handler.setFormatter(_json_formatter())
    else:
        handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Tornado tells of malformed requests at INFO, and quotes them.
    general = logging.getLogger("tornado.general")
    general.setLevel(logging.WARNING)
    general.addFilter(_is_no_fault_of_a_client)


class _Handler(logging.Handler):
    """Hands what the logging module has to say to the writer of the log."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over one message."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - the logging module's own way would write to the stream
            record.msg, record.args, record.exc_info = "a message cannot be written", (), None
            line = self.format(record)
        self._writer.write(line + "\n")


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

    def __init__(self, writer: LogWriter, clock: Callable[[], float], dumps: Serializer) -> None:
        self._writer = writer
        self._clock = clock
        self._records: list[tuple[float, RequestRecord]] = []
        self._lines: list[str] = []
        json = structlog.processors.JSONRenderer(serializer=dumps)
        is_json = writer.form is LogFormat.JSON
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
        if lines:
            self._writer.write("".join(lines))

    def info(self, line: str) -> None:
        """Take a line; structlog calls it."""
        self._lines.append(line + "\n")

    def _log(self, ended: float, record: RequestRecord) -> None:
        trace = record.trace
        more: dict[str, str] = {}
        if record.client_request_id is not None:
            more["client_request_id"] = record.client_request_id
        if record.ip is not None:
            more["ip"] = record.ip
        if trace is not None:
            more["trace_id"], more["parent_id"] = trace.trace_id, trace.parent_id
        self._logger.info(
            "request",
            method=record.method,
            route=record.route,
            status=record.status,
            milliseconds=round(record.milliseconds, 2),
            database_milliseconds=round(record.database_milliseconds, 2),
            hashing_milliseconds=round(record.hashing_milliseconds, 2),
            request_id=record.request_id,
            user_id=record.user_id,
            **more,
            time=_timestamp(ended),
        )


class RequestIds(NamedTuple):
    """Our id of a request, and the one that its client gave it, if it did."""

    ours: str
    clients: str | None = None

    def fields(self) -> dict[str, str]:
        """Return the fields of an event that is about the request."""
        more = {} if self.clients is None else {"client_request_id": self.clients}
        return {"request_id": self.ours, **more}


def log_failure(ids: RequestIds, error: BaseException) -> None:
    """Write what the server could not do for a request, with the trace."""
    logging.getLogger(SERVER).error(
        "request=%s failed", ids.ours, exc_info=error, extra=ids.fields()
    )


def log_refusal(ids: RequestIds, title: str, cause: BaseException | None) -> None:
    """Write why a request was refused for a reason that is not the client's."""
    logging.getLogger(SERVER).warning(
        "request=%s %s (%s)", ids.ours, title, cause or "-", extra=ids.fields()
    )


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line of a message."""
        return _shortened(super().formatMessage(record), _LONGEST_MESSAGE)

    def formatException(  # noqa: N802 - logging's name
        self, ei: tuple[type[BaseException], BaseException, Any] | tuple[None, None, None]
    ) -> str:
        """Return the lines of an exception."""
        return _shortened(super().formatException(ei), _LONGEST_EXCEPTION)


def _json_formatter() -> logging.Formatter:
    return ProcessorFormatter(
        foreign_pre_chain=[add_log_level, ExtraAdder(), _timed_as_logged],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _keep_short,
            structlog.processors.JSONRenderer(),
        ],
    )


def _keep_short(_logger: object, _method: str, event: _Event) -> _Event:
    for name, most in (("event", _LONGEST_MESSAGE), ("exception", _LONGEST_EXCEPTION)):
        if name in event:
            event[name] = _shortened(str(event[name]), most)
    return event


def _shortened(text: str, most: int) -> str:
    """Return a text with its middle cut out where it is too long: of a trace the end says most."""
    return text if len(text) <= most else f"{text[: most // 4]} [...] {text[-most // 2 :]}"


def _dropped_line(form: LogFormat, number: int) -> str:
    now, said = _timestamp(time.time()), f"{number} lines of the log were dropped"
    if form is LogFormat.JSON:
        return json.dumps({"event": said, "level": "warning", "time": now}) + "\n"
    return f"{now} WARNING {said}\n"


def _timed_as_logged(_logger: object, _method: str, event: _Event) -> _Event:
    event["time"] = _timestamp(event["_record"].created)
    return event


def _add_level(_logger: object, method: str, event: _Event) -> _Event:
    event["level"] = method
    return event


def _text(_logger: object, _method: str, event: _Event) -> str:
    more = "".join(f" {shown}={event[name]}" for name, shown in _MORE if name in event)
    return (
        f"{event['time']} INFO {event['method']} {event['route']} {event['status']}"
        f" {event['milliseconds']:.1f}ms database={event['database_milliseconds']:.1f}ms"
        f" hashing={event['hashing_milliseconds']:.1f}ms request={event['request_id']}"
        f" user={event['user_id'] or '-'}{more}"
    )


def _timestamp(seconds: float) -> str:
    """Return a time in UTC seconds as RFC 3339 has it, to the millisecond."""
    return f"{_second(int(seconds))}.{int(seconds * 1000) % 1000:03d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))

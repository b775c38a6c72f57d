"""/metrics, on a port of its own: what is measured, for those who may reach that port.

It is no part of the public application: who runs the server decides who gets there.
"""

from http import HTTPStatus
from types import TracebackType
from typing import ClassVar
from uuid import uuid4

from pydantic_core import to_json
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from contract.documents import problem_document
from ops.logs import RequestIds, log_failure
from ops.metrics import Metrics
from rules.errors import InternalError, MalformedRequest, MethodNotAllowed, NotFound, Problem

# Prometheus needs one connection. More would take the files that clients of the server need.
_MOST_CONNECTIONS = 20
_IDLE_SECONDS = 150.0
_MOST_HEADER_BYTES = 16 * 1024
_MOST_BODY_BYTES = 1024


class _Handler(RequestHandler):
    """A path of that port, with its errors as problem documents."""

    allowed: ClassVar[tuple[str, ...]] = ()

    def initialize(self, metrics: Metrics | None = None) -> None:
        self.metrics = metrics

    def set_default_headers(self) -> None:
        self._headers.clear()
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Request-ID", uuid4().hex)

    def compute_etag(self) -> None:
        """Return no entity tag: it is another answer each time."""

    def prepare(self) -> None:
        if not self.allowed:
            raise HTTPError(HTTPStatus.NOT_FOUND)
        if self.request.method not in self.allowed:
            raise HTTPError(HTTPStatus.METHOD_NOT_ALLOWED)

    def write_error(self, status_code: int, **_: object) -> None:
        problem = self._problem(status_code)
        self.set_status(problem.status)
        self.set_header("Content-Type", "application/problem+json; charset=UTF-8")
        for name, value in problem.headers:
            self.set_header(name, value)
        request_id = self._headers["X-Request-ID"]
        self.finish(to_json(problem_document(problem, request_id)) + b"\n")

    def log_exception(
        self,
        typ: type[BaseException] | None,  # noqa: ARG002 - Tornado's signature
        value: BaseException | None,
        tb: TracebackType | None,  # noqa: ARG002
    ) -> None:
        """Log failures, without the request: its target is whatever somebody sends."""
        if value is not None and not isinstance(value, HTTPError):
            log_failure(RequestIds(self._headers["X-Request-ID"]), value)

    def _problem(self, status: int) -> Problem:
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return InternalError()
        if not self.allowed:
            return NotFound()
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            return MethodNotAllowed(self.allowed)
        return MalformedRequest()


class MetricsHandler(_Handler):
    allowed: ClassVar = ("GET", "HEAD", "OPTIONS")

    async def get(self) -> None:
        if self.metrics is None:
            raise RuntimeError("There is nothing to tell.")
        exposition = await self.metrics.expose(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", exposition.content_type)
        self.finish(exposition.text)

    head = get

    def options(self) -> None:
        """Answer which methods there are, as everywhere."""
        self.set_status(HTTPStatus.NO_CONTENT)
        self.set_header("Allow", ", ".join(self.allowed))


class MetricsServer:
    """Listens for those who read the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._http = _FewConnections(
            Application(
                [(r"/metrics", MetricsHandler, {"metrics": metrics})],
                default_handler_class=_Handler,
                log_function=lambda _: None,
            ),
            idle_connection_timeout=_IDLE_SECONDS,
            body_timeout=_IDLE_SECONDS,
            max_header_size=_MOST_HEADER_BYTES,
            max_body_size=_MOST_BODY_BYTES,
        )

    def listen(self, host: str, port: int) -> int:
        """Listen, and return the port, which is a free one where 0 was asked for.

        Raises OSError where that is not possible.
        """
        sockets = bind_sockets(port, host)
        self._http.add_sockets(sockets)
        return int(sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, and close every connection."""
        self._http.stop()
        await self._http.close_all_connections()


class _FewConnections(HTTPServer):
    def handle_stream(self, stream: IOStream, address: tuple[object, ...]) -> None:
        """Serve a connection, unless there are too many."""
        if len(self._connections) >= _MOST_CONNECTIONS:
            stream.close()
        else:
            super().handle_stream(stream, address)

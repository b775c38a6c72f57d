"""/metrics, on a port of its own: the administrator decides who has access to that port."""

from http import HTTPStatus
from typing import ClassVar

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest

from contract.calls import Call, Response
from handlers.problems import ProblemHandler
from ops.metrics import Metrics
from settings.model import LimitSettings
from transport.application import ServedApplication
from transport.client_address import ClientAddresses
from transport.server import Server

# Prometheus needs one connection; many would use up the open files that callers need.
_LIMITS = LimitSettings(
    max_body_bytes=1024,
    max_connections=20,
    network_connections=0,
    first_request_seconds=150,
    idle_timeout_seconds=150,
    body_timeout_seconds=150,
)
_READ = Call(
    summary="Read the metrics",
    description="For Prometheus, in the format that it accepts.",
    response=Response("All metrics."),
)


class _PortHandler(ProblemHandler):
    """A path of the port; one without calls is unknown."""

    async def prepare(self) -> None:
        if self.exchange.problem is not None:
            raise self.exchange.problem
        if self.request.method != "OPTIONS" or not self.calls:
            self.find_call()


class MetricsHandler(_PortHandler):
    application: "_MetricsApplication"
    calls: ClassVar = {"GET": _READ, "HEAD": _READ}

    async def get(self) -> None:
        exposition = await self.application.metrics.expose(self.request.headers.get("Accept", ""))
        self.respond(200, (("Content-Type", exposition.content_type),), exposition.text)

    head = get

    def options(self) -> None:
        """Respond with the methods of the path."""
        self.respond(HTTPStatus.NO_CONTENT, (("Allow", ", ".join(self.allowed_methods)),))


class _MetricsApplication(ServedApplication):
    def __init__(self, metrics: Metrics) -> None:
        super().__init__(log_function=lambda _: None)
        self.metrics = metrics
        self.addresses = ClientAddresses(())
        self.max_body_bytes = _LIMITS.max_body_bytes
        self.running = 0
        self.draining = False

    def delegate_of(self, request: HTTPServerRequest) -> HTTPMessageDelegate:
        """Return the delegate that runs the handler of a request."""
        handler = MetricsHandler if request.path == "/metrics" else _PortHandler
        return self.get_handler_delegate(request, handler)


class MetricsServer:
    """Serves the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._server = Server(_MetricsApplication(metrics), _LIMITS)

    async def listen(self, host: str, port: int) -> int:
        """Listen, and return the port, which is a free one if ``port`` is 0.

        Raises OSError if that is not possible.
        """
        return await self._server.listen(host, port)

    async def close(self) -> None:
        """Stop listening, and close every connection."""
        await self._server.drain(drain_delay_seconds=0, drain_seconds=0)

"""Collect the body of a request, within its limit, before the handler runs.

Tornado responds to a body over its own limit with a bare 400. Here the handler runs without the
body instead, and refuses it in order: after the path, the method and the credentials.
"""

from collections.abc import Awaitable
from typing import cast

from tornado.concurrent import Future
from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPHeaders,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.web import RequestHandler, _HandlerDelegate

from transport.application import ServedApplication
from transport.lingering import LingeringConnection

_MAX_LENGTH_DIGITS = 15


class RequestDelegate(_HandlerDelegate):
    """Runs the handler of a request once the body is complete, or known to be too large."""

    application: ServedApplication

    def __init__(
        self,
        application: ServedApplication,
        request: HTTPServerRequest,
        handler_class: type[RequestHandler],
        path_args: list[bytes] | None = None,
    ) -> None:
        super().__init__(application, request, handler_class, None, path_args, None)
        self._lingering: LingeringConnection | None = None

    def headers_received(
        self, _start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self.application.running += 1
        expects_continue = headers.get("Expect", "").lower() == "100-continue"
        if expects_continue:
            headers["Expect"] = "100-continue"  # the only spelling that Tornado accepts
        length = headers.get("Content-Length", "").lstrip("0")
        if not length.isdecimal() or "Transfer-Encoding" in headers:
            # No length, or one that Tornado refuses when it reads the body.
            return None
        is_absurd = len(length) > _MAX_LENGTH_DIGITS
        if not is_absurd and int(length) <= self.application.max_body_bytes:
            return None
        response = self._refuse_body()
        if self._lingering is not None and (expects_continue or is_absurd):
            # The client waits for the response before it sends the body, or never ends it.
            self._lingering.end_body()
        return response

    def data_received(self, data: bytes) -> Awaitable[None] | None:
        if self._lingering is not None:
            self._lingering.drop(len(data))
            return None
        self.chunks += data
        if len(self.chunks) <= self.application.max_body_bytes:
            return None
        return self._refuse_body()

    def finish(self) -> None:
        if self._lingering is not None:
            self._lingering.end_body()
        else:
            self._run(body_too_large=False)

    def on_connection_close(self) -> None:
        self.chunks.clear()
        if self._lingering is not None:
            self._lingering.end_body()
        else:
            # Called only before a handler runs: afterwards the handler decrements the count.
            self.application.running -= 1

    def _refuse_body(self) -> Awaitable[None] | None:
        self.chunks.clear()
        connection = cast(HTTP1Connection, self.request.connection)
        self._lingering = self.request.connection = LingeringConnection(connection)
        # Tornado would report a disconnect only after the whole body was received.
        connection.stream.set_close_callback(
            connection._on_connection_close  # noqa: SLF001 - what Tornado registers later
        )
        return self._run(body_too_large=True)

    def _run(self, *, body_too_large: bool) -> Awaitable[None] | None:
        self.handler_kwargs = {"body_too_large": body_too_large}
        self.request.body = bytes(self.chunks)
        # Handlers are declared as streaming, so that Tornado does not parse forms. Such a handler
        # waits for its body, which is complete here.
        complete: Future[None] = Future()
        complete.set_result(None)
        self.request._body_future = complete  # noqa: SLF001 - what Tornado's own delegate sets
        return self.execute()

"""The application that the HTTP server serves, and how a request reaches its handler."""

from typing import cast

import tornado.web
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)

from transport.client_address import ClientAddresses
from transport.exchange import Exchange
from transport.request import Request


class ServedApplication(tornado.web.Application):
    """An application that counts its running requests and knows whether the server drains."""

    addresses: ClientAddresses
    max_body_bytes: int
    running: int
    draining: bool

    def start_request(
        self,
        server_conn: object,  # noqa: ARG002 - Tornado's signature
        request_conn: HTTPConnection,
    ) -> "RequestDelegate":
        """Return the delegate that receives the next request of a connection."""
        return RequestDelegate(self, cast(Exchange, request_conn))

    def ignores_body(self, start_line: RequestStartLine) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether the response to a request depends on its head only."""
        return False

    def delegate_of(self, request: HTTPServerRequest) -> HTTPMessageDelegate:
        """Return the delegate that runs the handler of a request."""
        raise NotImplementedError


class RequestDelegate(HTTPMessageDelegate):
    """Runs the handler of a request once its body is complete, or known to be too large."""

    def __init__(self, application: ServedApplication, exchange: Exchange) -> None:
        self._application = application
        self._exchange = exchange
        # One object: those of a body that arrives in small parts would need much more memory.
        self._body = bytearray()
        self._has_handler = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        """Begin a request."""
        self._start_line = cast(RequestStartLine, start_line)
        self._fields = headers
        self._application.running += 1

    def data_received(self, chunk: bytes) -> None:
        """Receive a part of the body."""
        self._body += chunk

    def finish(self) -> None:
        """Run the handler.

        Handlers are declared as streaming, so that Tornado does not parse forms: they begin when
        they receive the head, and run their method when the request finishes.
        """
        body = b"" if self._exchange.is_body_too_large else bytes(self._body)
        self._body.clear()
        request = Request(self._start_line, self._fields, self._exchange, body)
        handler = self._application.delegate_of(request)
        handler.headers_received(self._start_line, self._fields)
        self._has_handler = True
        handler.finish()

    def on_connection_close(self) -> None:
        """Stop counting a request that has no handler; a handler would do so itself."""
        if not self._has_handler:
            self._application.running -= 1

"""The application: what handlers need, as typed attributes."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlsplit

import tornado.web
from tornado.httputil import HTTPServerRequest

from handlers import routes
from handlers.base import (
    BaseHandler,
    RefusedHeadHandler,
    UnknownPathHandler,
    refusal_of_head,
)
from handlers.docs import PAGE_PATH, StaticDocument, StaticDocumentHandler
from ops.metrics import UNKNOWN_ROUTE, Metrics
from ops.request_log import RequestEvents
from services.all_services import Services
from transport.application import ServedApplication
from transport.body import RequestDelegate
from transport.client_address import ClientAddresses
from transport.cors import CrossOrigin

# Random, not counted: a number would tell each client how many requests there are.
_ID_BYTES = 16
# Of how many ids the random bytes are read at a time: each read is a system call.
_IDS_AT_A_TIME = 256


class Application(ServedApplication):
    """Routes requests to handlers, counts those that run, and knows when the server drains.

    Other settings of Tornado stay at their defaults: no debug mode, no templates, no cookies.
    """

    def __init__(
        self,
        *,
        services: Services,
        request_log: RequestEvents,
        addresses: ClientAddresses,
        cross_origin: CrossOrigin,
        require_https: bool,
        max_body_bytes: int,
        static_documents: Mapping[str, StaticDocument],
        metrics: Metrics | None = None,
    ) -> None:
        super().__init__(
            routes, default_handler_class=UnknownPathHandler, log_function=BaseHandler.log
        )
        self.services = services
        self.request_log = request_log
        self.addresses = addresses
        self.cross_origin = cross_origin
        self.require_https = require_https
        self.max_body_bytes = max_body_bytes
        self.metrics = metrics
        self.static_documents = static_documents
        self.running = 0
        self.request_ids = _random_ids()
        self.draining = False
        self._handlers: dict[str, type[BaseHandler]] = {
            str(path): handler for path, handler in routes if path == re.escape(path)
        } | dict.fromkeys(static_documents, StaticDocumentHandler)
        # What stands for a part of the path that anything may be, such as an id, is told as that.
        self._routes: dict[type[BaseHandler], str] = {
            handler: str(path).replace("([^/]+)", "{id}") for path, handler in routes
        } | {StaticDocumentHandler: PAGE_PATH}

    def find_handler(self, request: HTTPServerRequest, **kwargs: object) -> RequestDelegate:
        """Return what receives a request, whose target may be a whole URL (RFC 9112, 3.2.2)."""
        if refusal_of_head(request) is not None:
            return RequestDelegate(self, request, RefusedHeadHandler)
        if not request.path.startswith("/"):
            with suppress(ValueError):  # what is no URL stays what it is, and is found nowhere
                target = urlsplit(request.path)
                if target.scheme in {"http", "https"}:
                    request.path = target.path or "/"
        # Most paths are no patterns: a dictionary finds them, in a tenth of the time.
        handler = self._handlers.get(request.path)
        if handler is not None:
            return RequestDelegate(self, request, handler)
        return cast(RequestDelegate, super().find_handler(request, **kwargs))

    def route_of(self, handler: type[BaseHandler]) -> str:
        """Return the path of a handler, or one name for all that nobody has."""
        return self._routes.get(handler, UNKNOWN_ROUTE)

    def get_handler_delegate(
        self,
        request: HTTPServerRequest,
        target_class: type[tornado.web.RequestHandler],
        target_kwargs: dict[str, Any] | None = None,  # noqa: ARG002 - Tornado's signature
        path_args: list[bytes] | None = None,
        path_kwargs: dict[str, bytes] | None = None,  # noqa: ARG002
    ) -> RequestDelegate:
        """Return what receives a request."""
        return RequestDelegate(self, request, target_class, path_args)


def _random_ids() -> Iterator[str]:
    """Yield ids of requests, without an end."""
    length = 2 * _ID_BYTES
    while True:
        digits = os.urandom(_ID_BYTES * _IDS_AT_A_TIME).hex()
        for start in range(0, len(digits), length):
            yield digits[start : start + length]

"""The application: the state that handlers share, and the routes to them."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest, RequestStartLine
from tornado.web import RequestHandler

from contract.calls import path_template
from handlers import routes
from handlers.application_state import ApplicationState, ErrorPage, Failure
from handlers.base import BaseHandler, RejectedHeadHandler, UnknownPathHandler
from handlers.docs import StaticDocumentHandler
from handlers.static_documents import DOCS_PATH, StaticDocument
from mail.sender import Sender
from ops.line_limit import LineLimit
from ops.metrics import UNKNOWN_ROUTE, Metrics
from ops.rare_warning import RareWarning
from ops.request_log import RequestEvents
from services.all_services import Services
from transport.client_address import ClientAddresses
from transport.cors import CrossOrigin
from transport.exchange import Exchange
from transport.forward_auth import SignInRedirects

# Random, since a counter would reveal the number of requests to every caller.
_ID_BYTES = 16
# Reading random bytes is a system call: it is done for many ids at once.
_IDS_AT_ONCE = 256
# A group matches an id, which must not become part of a metric or a log line.
_TEMPLATES: Mapping[type[RequestHandler], str] = {
    **{handler: path_template(str(path)) for path, handler in routes},
    StaticDocumentHandler: DOCS_PATH,
}


# RFC 3986, section 6.2.2.2: these characters are the same with and without percent-encoding.
_ENCODED_UNRESERVED = re.compile(r"%(?:2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)", re.IGNORECASE)
_METHODS = (*dict.fromkeys(method for _, handler in routes for method in handler.calls), "OPTIONS")


class WholeServerHandler(BaseHandler):
    """The target ``*``: the server as a whole, for OPTIONS (RFC 9110, section 9.3.7)."""

    @property
    def allowed_methods(self) -> tuple[str, ...]:
        """Return the methods of all paths."""
        return _METHODS


@dataclass(frozen=True, slots=True)
class PageRoutes:
    """The pages for people: their routes, with what their handlers need, and pages of errors."""

    routes: Sequence[tuple[str, type[RequestHandler], dict[str, Any]]]
    error_page: Callable[[Failure], ErrorPage | None]

    @property
    def templates(self) -> Mapping[type[RequestHandler], str]:
        """Return the path template of each handler."""
        return {handler: path_template(path) for path, handler, _ in self.routes}


NO_PAGES = PageRoutes((), lambda _failure: None)


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """Which requests are accepted, on any path."""

    addresses: ClientAddresses
    cross_origin: CrossOrigin
    sign_in_redirects: SignInRedirects
    require_https: bool
    untrusted_proxy: RareWarning
    max_body_bytes: int


class Application(ApplicationState):
    """Routes requests to handlers, and counts those that run.

    Tornado's own settings keep their defaults: no debug mode, no templates, no cookies.
    """

    def __init__(
        self,
        *,
        services: Services,
        sender: Sender | None,
        policy: HttpPolicy,
        request_log: RequestEvents,
        line_limit: LineLimit,
        static_documents: Mapping[str, StaticDocument],
        metrics: Metrics | None = None,
        pages: PageRoutes = NO_PAGES,
    ) -> None:
        super().__init__(
            [*routes, *pages.routes],
            default_handler_class=UnknownPathHandler,
            log_function=BaseHandler.log,
        )
        self._pages, self._page_templates = pages, pages.templates
        self.services, self.sender = services, sender
        self.request_log, self.line_limit = request_log, line_limit
        self.addresses, self.cross_origin = policy.addresses, policy.cross_origin
        self.sign_in_redirects = policy.sign_in_redirects
        self.require_https, self.untrusted_proxy = policy.require_https, policy.untrusted_proxy
        self.max_body_bytes = policy.max_body_bytes
        self.metrics, self.static_documents = metrics, static_documents
        self.request_ids = _random_ids()
        self.running, self.draining = 0, False
        self._handlers = _by_path(static_documents)

    def ignores_body(self, start_line: RequestStartLine) -> bool:
        """Return whether the response to a request depends on its head only."""
        handler = self._handlers.get(_normalized(start_line.path.partition("?")[0]))
        return handler is not None and handler.ignores_body

    def delegate_of(self, request: HTTPServerRequest) -> HTTPMessageDelegate:
        """Return the delegate of a request, whose target may be a whole URL (RFC 9112, 3.2.2)."""
        if cast(Exchange, request.connection).problem is not None:
            return self.get_handler_delegate(request, RejectedHeadHandler)
        if request.path == "*" and request.method == "OPTIONS":
            return self.get_handler_delegate(request, WholeServerHandler)
        request.path = _normalized(request.path)
        # Most paths are not patterns: a dictionary finds them in a tenth of the time.
        handler = self._handlers.get(request.path)
        if handler is not None:
            return self.get_handler_delegate(request, handler)
        return self.find_handler(request)

    def route_of(self, handler: type[RequestHandler]) -> str:
        """Return the path template of a handler, or one name for all unknown paths."""
        return _TEMPLATES.get(handler) or self._page_templates.get(handler, UNKNOWN_ROUTE)

    def error_page(self, failure: Failure) -> ErrorPage | None:
        """Return an error as a page to a browser outside the API."""
        return self._pages.error_page(failure)


def _by_path(documents: Mapping[str, StaticDocument]) -> Mapping[str, type[BaseHandler]]:
    """Return the handlers of the API and of documents whose paths are not patterns."""
    found = {str(path): handler for path, handler in routes if path == re.escape(path)}
    return {**found, **dict.fromkeys(documents, StaticDocumentHandler)}


def _normalized(target: str) -> str:
    """Return the path of a target, without the query, as the routes contain it."""
    path = target if target.startswith("/") else _path_of(target)
    return _ENCODED_UNRESERVED.sub(_decode_unreserved, path) if "%" in path else path


def _path_of(target: str) -> str:
    """Return the path of a target that is a whole URL; other targets belong to no handler."""
    with suppress(ValueError):
        url = urlsplit(target)
        if url.scheme in {"http", "https"}:
            return url.path or "/"
    return target


def _decode_unreserved(match: re.Match[str]) -> str:
    return chr(int(match[0][1:], 16))


def _random_ids() -> Iterator[str]:
    """Yield request ids without end."""
    length = 2 * _ID_BYTES
    while True:
        digits = os.urandom(_ID_BYTES * _IDS_AT_ONCE).hex()
        for start in range(0, len(digits), length):
            yield digits[start : start + length]

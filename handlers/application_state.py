"""The attributes of the application that handlers read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from handlers.static_documents import StaticDocument
from ops.line_limit import LineLimit
from ops.metrics import Metrics
from ops.rare_warning import RareWarning
from ops.request_log import RequestEvents
from rules.errors import Problem
from services.all_services import Services
from transport.application import ServedApplication
from transport.cors import CrossOrigin
from transport.forward_auth import SignInRedirects
from transport.response import Fields


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """An error as a page."""

    fields: Fields
    body: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed, its error, and whether it was sent over HTTPS."""

    request: HTTPServerRequest
    problem: Problem
    request_id: str
    is_secure: bool


class ApplicationState(ServedApplication):
    """An application with services, a request log and metrics."""

    services: Services
    request_log: RequestEvents
    line_limit: LineLimit
    metrics: Metrics | None
    cross_origin: CrossOrigin
    sign_in_redirects: SignInRedirects
    require_https: bool
    untrusted_proxy: RareWarning
    static_documents: Mapping[str, StaticDocument]
    request_ids: Iterator[str]

    def error_page(self, failure: Failure) -> ErrorPage | None:
        """Return an error as a page, or None if the caller gets a document."""
        return None

    def route_of(self, handler: type[RequestHandler]) -> str:
        """Return the path template of a handler, or one name for all unknown paths."""
        raise NotImplementedError

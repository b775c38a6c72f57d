"""What handlers read from the application, as typed attributes."""

from collections.abc import Iterator, Mapping

from tornado.web import RequestHandler

from handlers.static_documents import StaticDocument
from ops.line_limit import LineLimit
from ops.metrics import Metrics
from ops.rare_warning import RareWarning
from ops.request_log import RequestEvents
from services.all_services import Services
from transport.application import ServedApplication
from transport.cors import CrossOrigin
from transport.forward_auth import SignInRedirects


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

    def route_of(self, handler: type[RequestHandler]) -> str:
        """Return the path template of a handler, or one name for all unknown paths."""
        raise NotImplementedError

"""The application: what handlers need, as typed attributes."""

from typing import Any

import tornado.web
from tornado.httputil import HTTPServerRequest

from auth.accounts import Accounts
from handlers import routes
from handlers.base import BaseHandler, UnknownPathHandler
from handlers.delegate import RequestDelegate


class Application(tornado.web.Application):
    """Routes requests to handlers, counts those that run, and knows when the server drains.

    Other settings of Tornado stay at their defaults: no debug mode, no templates, no cookies.
    """

    def __init__(self, *, accounts: Accounts, max_body_bytes: int) -> None:
        super().__init__(
            routes, default_handler_class=UnknownPathHandler, log_function=BaseHandler.log
        )
        self.accounts = accounts
        self.max_body_bytes = max_body_bytes
        self.running = 0
        self.draining = False

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

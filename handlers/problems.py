"""Errors as responses: problem documents (RFC 9457)."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from uuid import uuid4

from pydantic_core import to_json
from tornado.web import HTTPError, stream_request_body

from contract.calls import Call, Endpoint
from contract.documents import ProblemDocument, problem_document
from ops.logs import RequestIds, log_failure, log_rejection
from ops.metrics import known_method
from rules.errors import (
    CallerDisconnected,
    InternalError,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    Problem,
    Unavailable,
)
from transport.application import ServedApplication
from transport.response import Fields, ResponseHandler

_JSON = ("Content-Type", "application/json; charset=UTF-8")
_PROBLEM_JSON = ("Content-Type", "application/problem+json; charset=UTF-8")
# nginx introduced this status for its log: the caller disconnected before the response.
_CLIENT_CLOSED_REQUEST = 499
# The request ids that a caller may choose. A token never matches, whatever separates its parts.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TOKEN = re.compile(r"[0-9a-f-]{36}[._-]+[0-9]{9,12}[._-]", re.IGNORECASE)


# Streaming, so that Tornado does not parse bodies: transport.application collects them.
@stream_request_body
class ProblemHandler(ResponseHandler, Endpoint):
    """A path whose ``calls`` define its methods, and whose errors are problem documents."""

    application: ServedApplication

    def initialize(self) -> None:
        super().initialize()
        self._ids = RequestIds(self.new_request_id(), self._caller_request_id())

    def new_request_id(self) -> str:
        """Return a random id, which does not reveal the number of requests."""
        return uuid4().hex

    @property
    def request_id(self) -> str:
        """Return the caller's id of this request if it is acceptable, otherwise the server's."""
        return self._ids.callers or self._ids.ours

    @property
    def cross_origin_fields(self) -> Fields:
        """Return no fields: pages of other origins have no access."""
        return ()

    @property
    def closes_connection(self) -> bool:
        """Return whether the server drains: callers should reconnect elsewhere.

        Requests that have arrived after this one are served before the connection closes.
        """
        return self.application.draining and not self.exchange.has_successor

    def find_call(self) -> Call:
        """Return the call of the request's method; raise NotFound or MethodNotAllowed."""
        if not self.calls:
            raise NotFound
        call = self.calls.get(self.request.method or "")
        if call is None:
            raise MethodNotAllowed(self.allowed_methods)
        return call

    @property
    def allowed_methods(self) -> tuple[str, ...]:
        """Return the methods of the path, none if it does not exist."""
        return (*self.calls, "OPTIONS") if self.calls else ()

    def send(self, document: Mapping[str, object], status: int = 200, fields: Fields = ()) -> None:
        """Respond with a JSON document."""
        self.respond(status, (_JSON, *fields), to_json(document) + b"\n")

    def write_error(self, status_code: int, **arguments: object) -> None:
        """Respond to any exception with a problem document."""
        problem = self.find_problem(status_code, arguments)
        if problem is None:
            self.respond(_CLIENT_CLOSED_REQUEST, ())
            return
        self.note_problem(problem)
        self.send_problem(problem)

    def find_problem(self, status: int, arguments: Mapping[str, object]) -> Problem | None:
        """Return the error of write_error(), or None if no caller is left to receive it."""
        exc_info = arguments.get("exc_info")
        error = exc_info[1] if isinstance(exc_info, tuple) else None
        return None if isinstance(error, CallerDisconnected) else self._problem(status, error)

    def send_problem(self, problem: Problem) -> None:
        """Respond with the document of an error."""
        document = self.problem_document(problem)
        fields = (_PROBLEM_JSON, *self.problem_fields(problem))
        self.respond(problem.status, fields, to_json(document) + b"\n")

    def problem_document(self, problem: Problem) -> ProblemDocument:
        """Return the document of an error."""
        return problem_document(problem, self.request_id)

    def note_problem(self, problem: Problem) -> None:
        """Record the error that the response reports."""

    def problem_fields(self, problem: Problem) -> Fields:
        """Return the header fields of an error."""
        return problem.headers

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log what the administrator must know: bugs, and an unavailable database.

        Nothing that the caller sent is logged. That the server is overloaded appears in the line
        of the request: a second line for each rejection would add to the load.
        """
        if value is None or isinstance(value, HTTPError | CallerDisconnected):
            return
        if not isinstance(value, Problem):
            log_failure(self.log_fields(), value)
        elif isinstance(value, Unavailable) and not isinstance(value, Overloaded):
            self.log_rejection(value)

    def log_rejection(self, problem: Problem) -> None:
        """Log the cause of an error response that the caller did not cause."""
        log_rejection(self.log_fields(), problem.name, problem.__cause__)

    def log_fields(self) -> Mapping[str, str]:
        """Return the fields of a message about the request."""
        return {**self._ids.fields(), "method": known_method(self.request.method)}

    def on_finish(self) -> None:
        """Decrement the count of running requests."""
        self.application.running -= 1

    def _problem(self, status: int, error: object) -> Problem:
        if self.exchange.problem is not None:
            return self.exchange.problem
        if isinstance(error, Problem):
            return error
        # Tornado's own errors: a method that HTTP does not define, text that is not UTF-8.
        if isinstance(error, HTTPError) and status == HTTPStatus.METHOD_NOT_ALLOWED:
            return MethodNotAllowed(self.allowed_methods) if self.calls else NotFound()
        if isinstance(error, HTTPError) and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return MalformedRequest("Send the path and the query in UTF-8.")
        return InternalError()

    def _caller_request_id(self) -> str | None:
        given = self.request.headers.get("X-Request-ID")
        if given is None:
            return None
        return given if _REQUEST_ID.fullmatch(given) and not _TOKEN.search(given) else None

"""What all handlers share: who is asking, what they sent, and the one way out of every error."""

import asyncio
import re
from collections.abc import Awaitable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic_core import to_json
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, stream_request_body

from contract.calls import Call, Endpoint, Guard
from contract.documents import problem_document
from contract.forms import FormType, NoFields
from contract.parameters import Parameter, Value
from ops.logs import RequestIds, log_failure, log_refusal
from ops.metrics import known_method
from ops.request_log import REFUSALS, RequestRecord
from ops.timing import RequestTiming
from ops.trace_context import read_traceparent
from rules.credentials import Credentials, decode_authorization
from rules.errors import (
    ClientDisconnected,
    ContentTooLarge,
    CurrentPasswordWrong,
    HttpsRequired,
    InternalError,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    Problem,
    Unavailable,
    UnsupportedMediaType,
)
from services.identities import Identity
from transport.client_address import RequestOrigin
from transport.connection import Stream
from transport.response import AnsweringHandler, Fields

if TYPE_CHECKING:
    from handlers.application import Application

_JSON = ("Content-Type", "application/json; charset=UTF-8")
_PROBLEM_JSON = ("Content-Type", "application/problem+json; charset=UTF-8")
# What others, nginx first, log where a client hung up before it was answered.
_CLIENT_CLOSED_REQUEST = 499
# What a client may call its request; a token is none, whatever stands between its parts.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TOKEN = re.compile(r"[0-9a-f-]{36}[._-]+[0-9]{9,12}[._-]", re.IGNORECASE)


# Streaming, so that Tornado leaves bodies alone: transport.body gathers them.
@stream_request_body
class BaseHandler(AnsweringHandler, Endpoint):
    """A path. ``calls`` says what its methods ask for; prepare() sees to it."""

    application: "Application"
    # Whether it is somebody else who presents a user's credentials.
    asks_for_others: ClassVar[bool] = False

    def initialize(self, *, body_too_large: bool) -> None:
        self.body_too_large = body_too_large
        self._identity: Identity | None = None
        self._client_id: str | None = None
        self._ids = RequestIds(next(self.application.request_ids), self._given_request_id())
        self._task: asyncio.Task[object] | None = None
        self._timing = RequestTiming()
        self._has_refused_credentials = False

    @property
    def identity(self) -> Identity:
        """Return who is asking, in a call that is guarded."""
        if self._identity is None:
            raise RuntimeError("This call is open to anyone.")
        return self._identity

    @property
    def client_id(self) -> str:
        """Return which service is asking, in a call for services."""
        if self._client_id is None:
            raise RuntimeError("This call is not one for services.")
        return self._client_id

    async def prepare(self) -> None:
        """Refuse what can be refused before the verb method: path, method, credentials, body."""
        self._task = asyncio.current_task()
        self._timing.activate()
        if self.client_is_gone:
            # It went before Tornado would have told of it.
            raise ClientDisconnected
        if self.application.require_https and not self.is_open_to_plain_http:
            self._check_https()
        if self.request.method == "OPTIONS" and self.calls:
            return
        call = self._find_call()
        if call.is_guarded_from_other_sites(self.request.method or ""):
            self.application.cross_origin.check(self.request)
        if call.guard is Guard.CLIENT:
            self._client_id = await self.application.services.clients.authenticate(
                self._credentials(), self.origin
            )
        elif call.guard is not Guard.ANYONE:
            self._identity = await self._identify(call.guard)
        self._check_body(call.body.media_type)
        if call.body is NoFields and self.request.body:
            self.body(NoFields)

    def _identify(self, guard: Guard) -> Awaitable[Identity]:
        identities = self.application.services.identities
        if guard is Guard.PASSWORD:
            return identities.identify_by_password(self._credentials(), self.origin)
        if guard is Guard.TOKEN:
            return identities.identify_by_token(self._credentials(), self.origin)
        return identities.identify(self._credentials(), self.origin)

    def _credentials(self) -> Credentials | None:
        return decode_authorization(self.request.headers.get("Authorization"))

    @property
    def origin(self) -> RequestOrigin:
        """Return where the request comes from."""
        addresses = self.application.addresses
        return RequestOrigin(
            self.request, addresses, self._ids.ours, asks_for_others=self.asks_for_others
        )

    def options(self, *_path: str) -> None:
        """Answer which methods there are (RFC 9110, section 9.3.7)."""
        methods = ", ".join(self._allowed())
        preflight = self.application.cross_origin.preflight_fields(self.request, methods)
        self.answer(HTTPStatus.NO_CONTENT, (("Allow", methods), *preflight))

    def body(self, form: type[FormType]) -> FormType:
        """Return the body as a form; raises MalformedRequest or InvalidFields."""
        if not self.request.body and self._find_call().body_is_optional:
            return form.of({})
        return form.read(self.request.body)

    def query(self, parameter: Parameter[Value]) -> Value:
        """Return what the query string says of a parameter; raises InvalidFields."""
        return parameter.read(self.get_query_arguments(parameter.name, strip=False))

    def send(self, document: Mapping[str, object], status: int = 200, fields: Fields = ()) -> None:
        """Answer with a JSON document."""
        self.answer(status, (_JSON, *fields), to_json(document) + b"\n")

    def write_error(self, status_code: int, **arguments: object) -> None:
        """Answer any error with one problem document (RFC 9457)."""
        error = arguments.get("exc_info")
        if isinstance(error, tuple) and isinstance(error[1], ClientDisconnected):
            self.answer(_CLIENT_CLOSED_REQUEST, ())
            return
        problem = self._problem(status_code, error)
        self._has_refused_credentials = problem.status in REFUSALS or isinstance(
            problem, CurrentPasswordWrong
        )
        if self.application.metrics is not None:
            self.application.metrics.problem(problem.name)
        document = problem_document(problem, self.request_id)
        fields = (_PROBLEM_JSON, *self.problem_fields(problem))
        self.answer(problem.status, fields, to_json(document) + b"\n")

    def problem_fields(self, problem: Problem) -> Fields:
        """Return the header fields that go with a problem document."""
        return problem.headers

    @property
    def request_id(self) -> str:
        """Return the client's id of this request, where it is a sensible one, or ours."""
        return self._ids.clients or self._ids.ours

    @property
    def cross_origin_fields(self) -> Fields:
        """Return what the answer tells the browser about other sites' pages."""
        return self.application.cross_origin.fields(self.request)

    @property
    def closes_connection(self) -> bool:
        """Tell whether the server drains: clients should come back on a new connection."""
        return self.application.draining

    def log_exception(
        self,
        typ: type[BaseException] | None,  # noqa: ARG002 - Tornado's signature
        value: BaseException | None,
        tb: TracebackType | None,  # noqa: ARG002
    ) -> None:
        """Log what the operator should know of: failures, and a database that is away."""
        if value is None or isinstance(value, HTTPError | ClientDisconnected):
            return
        if not isinstance(value, Problem):
            log_failure(self._ids, value)
        elif isinstance(value, Unavailable):
            log_refusal(self._ids, value.title, value.__cause__)

    def on_connection_close(self) -> None:
        """Let nobody wait, or hash, for a client that hung up."""
        super().on_connection_close()
        if self._task is not None:
            self.application.services.hash_queue.abandon(self._task)

    def on_finish(self) -> None:
        """Count the request out."""
        self.application.running -= 1

    def log(self) -> None:
        """Measure the request, and log it."""
        method = known_method(self.request.method)
        route = self.application.route_of(type(self))
        status = self.get_status()
        seconds = self.request.request_time()
        if self.application.metrics is not None:
            self.application.metrics.request(route, method, status, seconds)
        self.application.request_log.write(
            RequestRecord(
                method=method,
                route=route,
                status=status,
                milliseconds=seconds * 1000,
                database_milliseconds=self._timing.database * 1000,
                hashing_milliseconds=self._timing.hashing * 1000,
                request_id=self._ids.ours,
                client_request_id=self._ids.clients,
                user_id=self._identity.user.id if self._identity else None,
                ip=self.origin.ip if self._has_refused_credentials else None,
                trace=read_traceparent(self.request.headers.get("Traceparent")),
            )
        )

    def _check_https(self) -> None:
        if not self.application.addresses.came_by_https(self.request):
            raise HttpsRequired

    def _find_call(self) -> Call:
        if not self.calls:
            raise NotFound
        call = self.calls.get(self.request.method or "")
        if call is None:
            raise MethodNotAllowed(self._allowed())
        return call

    def _allowed(self) -> tuple[str, ...]:
        return (*self.calls, "OPTIONS")

    def _check_body(self, wanted: str) -> None:
        """Refuse a body by its media type, then by its size; one of no bytes is none."""
        headers = self.request.headers
        if self.request.body or self.body_too_large:
            media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if media_type != wanted or "Content-Encoding" in headers:
                raise UnsupportedMediaType(wanted)
        if self.body_too_large:
            raise ContentTooLarge(self.application.max_body_bytes)

    def _problem(self, status: int, exc_info: object) -> Problem:
        error = exc_info[1] if isinstance(exc_info, tuple) else None
        if isinstance(error, Problem):
            return error
        # Tornado's own: a method that HTTP does not know, a path that is no UTF-8.
        if isinstance(error, HTTPError) and status == HTTPStatus.METHOD_NOT_ALLOWED:
            return MethodNotAllowed(self._allowed()) if self.calls else NotFound()
        if isinstance(error, HTTPError) and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return MalformedRequest()
        return InternalError()

    def _given_request_id(self) -> str | None:
        given = self.request.headers.get("X-Request-ID")
        if given is None:
            return None
        return given if _REQUEST_ID.fullmatch(given) and not _TOKEN.search(given) else None


class UnknownPathHandler(BaseHandler):
    """Every path that no other handler has: not found, whatever the method."""


class RefusedHeadHandler(BaseHandler):
    """Every path, where the head of the request is refused for all that is in it."""

    async def prepare(self) -> None:
        refusal = refusal_of_head(self.request)
        if refusal is not None:
            raise refusal


def refusal_of_head(request: HTTPServerRequest) -> Problem | None:
    """Return why the head of a request is refused, if it is."""
    return cast(Stream, cast(HTTP1Connection, request.connection).stream).refusal

"""How a request is measured, counted and logged."""

from collections.abc import Mapping

from handlers.application_state import ApplicationState, Failure
from handlers.problems import ProblemHandler
from ops.logs import REQUEST_FAILED
from ops.metrics import known_method
from ops.request_log import REJECTIONS, RequestRecord
from ops.timing import RequestTiming
from ops.trace_context import read_traceparent
from rules.errors import CodeInvalid, CurrentPasswordWrong, Problem
from transport.client_address import RequestOrigin


class LoggedHandler(ProblemHandler):
    """A path whose requests are logged, and counted in the metrics."""

    application: ApplicationState
    # Whether a proxy sends the request, with the credentials of its client.
    is_called_by_proxy = False

    def initialize(self) -> None:
        super().initialize()
        self.user_id: str | None = None
        self._timing = RequestTiming()
        self._problem_name: str | None = None
        self._has_rejected_credentials = False

    def new_request_id(self) -> str:
        """Return the next id of the application."""
        return next(self.application.request_ids)

    @property
    def origin(self) -> RequestOrigin:
        """Return the origin of the request."""
        return RequestOrigin(
            self.request,
            self.application.addresses,
            self._ids.ours,
            is_from_proxy=self.is_called_by_proxy,
        )

    def note_problem(self, problem: Problem) -> None:
        """Count the error; log its type, and the IP address if credentials were rejected."""
        self._problem_name = problem.name
        self._has_rejected_credentials = problem.status in REJECTIONS or isinstance(
            problem, CurrentPasswordWrong | CodeInvalid
        )
        if self.application.metrics is not None:
            self.application.metrics.problem(problem.name)

    def send_problem(self, problem: Problem) -> None:
        """Respond with a page to a browser outside the API, otherwise with a document."""
        is_secure = self.application.addresses.used_https(self.request)
        page = self.application.error_page(
            Failure(self.request, problem, self.request_id, is_secure)
        )
        if page is None:
            super().send_problem(problem)
        else:
            self.respond(problem.status, page.fields, page.body)

    def log_fields(self) -> Mapping[str, str]:
        """Return the fields of a message about the request."""
        return {**super().log_fields(), "route": self.application.route_of(type(self))}

    def log_rejection(self, problem: Problem) -> None:
        """Log the cause of an error response, unless it is one that a flood of requests gets."""
        if self.application.line_limit.admits(
            lines=REQUEST_FAILED,
            route=self.application.route_of(type(self)),
            problem=problem.name,
            cause=type(problem.__cause__).__name__,
        ):
            super().log_rejection(problem)

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
                client_request_id=self._ids.callers,
                user_id=self.user_id,
                problem=self._problem_name,
                ip=self.origin.ip if self._has_rejected_credentials else None,
                trace=read_traceparent(self.request.headers.get("Traceparent")),
            )
        )

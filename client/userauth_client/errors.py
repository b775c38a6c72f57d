"""The exceptions of this package, in one tree.

UserAuthError
├── InvalidArgumentError         an argument cannot be sent; also a ValueError
├── UnreachableError             no complete response arrived; a change may or may not have happened
│   └── TimedOutError            … in time
├── UnexpectedResponseError      the response is not from a userauth server: a proxy's page
└── ProblemError                 the server returned a problem document
    ├── MalformedRequest    400
    ├── Unauthorized        401
    ├── Forbidden           403
    ├── NotFound            404
    ├── Conflict            409
    ├── InvalidFields       422  errors
    ├── TooManyRequests     429  retry_after
    ├── InternalError       500
    └── Unavailable         503  retry_after

Any other status is a plain ProblemError. No exception contains data that the caller sent, so none
can reveal a password or a token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in one field; ``code``, if present, identifies it for programs."""

    field: str
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document (RFC 9457), with the Retry-After header of its response."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: tuple[FieldError, ...] = ()
    retry_after: int | None = None


class UserAuthError(Exception):
    """The base class of every exception that this package raises."""


class InvalidArgumentError(UserAuthError, ValueError):
    """An argument cannot be sent; nothing was sent."""


class UnreachableError(UserAuthError):
    """No complete response arrived. A requested change may or may not have happened."""


class TimedOutError(UnreachableError):
    """No complete response arrived in time."""


class UnexpectedResponseError(UserAuthError):
    """The response is not from a userauth server; ``status`` is its HTTP status."""

    def __init__(self, reason: str, status: int, retry_after: int | None = None) -> None:
        super().__init__(reason, status, retry_after)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.reason} (status {self.status})"


class ProblemError(UserAuthError):
    """The server rejected the request with a problem document."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.status} {self.title}: {self.detail}{request}"

    @property
    def type(self) -> str:
        """Return the problem type from the server; compare the whole string."""
        return self.problem.type

    @property
    def title(self) -> str:
        return self.problem.title

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return self.problem.status

    @property
    def detail(self) -> str:
        """Return the advice for people; its wording may change."""
        return self.problem.detail

    @property
    def request_id(self) -> str | None:
        """Return the id of the request in the server's log."""
        return self.problem.request_id

    @property
    def errors(self) -> tuple[FieldError, ...]:
        """Return the errors of the fields."""
        return self.problem.errors

    @property
    def retry_after(self) -> int | None:
        """Return the seconds to wait before the next attempt, if the server sent them."""
        return self.problem.retry_after


class MalformedRequest(ProblemError):
    """400."""


class Unauthorized(ProblemError):
    """401: the credentials are missing or invalid."""


class Forbidden(ProblemError):
    """403: for example, the account is disabled, or its email address is not verified."""


class NotFound(ProblemError):
    """404."""


class Conflict(ProblemError):
    """409: the email address is taken."""


class InvalidFields(ProblemError):
    """422: ``errors`` lists the fields and the reasons, including the code of a message."""


class TooManyRequests(ProblemError):
    """429: wait for ``retry_after`` seconds."""


class InternalError(ProblemError):
    """500."""


class Unavailable(ProblemError):
    """503: try again after ``retry_after`` seconds."""


_BY_STATUS: Mapping[int, type[ProblemError]] = MappingProxyType(
    {
        400: MalformedRequest,
        401: Unauthorized,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        422: InvalidFields,
        429: TooManyRequests,
        500: InternalError,
        503: Unavailable,
    }
)


def problem_error(problem: Problem) -> ProblemError:
    """Return the exception for a problem, by its status."""
    return _BY_STATUS.get(problem.status, ProblemError)(problem)

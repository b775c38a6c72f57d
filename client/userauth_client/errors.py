"""Everything that can go wrong, as one tree.

UserAuthError
├── InvalidArgumentError         what was given cannot be sent; also a ValueError
├── UnreachableError             no whole answer came; a change may have happened or not
│   └── TimedOutError            … in time
├── UnexpectedAnswerError        an answer that is none of this server's, as a proxy's page
└── ProblemError                 the server refused, by a problem document
    ├── MalformedRequest    400
    ├── Unauthorized        401
    ├── Forbidden           403
    ├── NotFound            404
    ├── Conflict            409
    ├── InvalidFields       422  errors
    ├── TooManyTries        429  retry_after
    ├── InternalError       500
    └── Unavailable         503  retry_after

A status that is not listed is a plain ProblemError. No error holds what the caller sent, so that
none can show a password or a token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; ``code``, where there is one, names it for programs."""

    field: str
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document (RFC 9457), with what the header tells beside it."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: tuple[FieldError, ...] = ()
    retry_after: int | None = None


class UserAuthError(Exception):
    """Anything that this package raises."""


class InvalidArgumentError(UserAuthError, ValueError):
    """What was given cannot be sent; nothing was."""


class UnreachableError(UserAuthError):
    """No whole answer came. A change that was asked for may have happened or not."""


class TimedOutError(UnreachableError):
    """No whole answer came in time."""


class UnexpectedAnswerError(UserAuthError):
    """An answer came that is none of this server's; ``status`` is its HTTP status."""

    def __init__(self, reason: str, status: int, retry_after: int | None = None) -> None:
        super().__init__(reason, status, retry_after)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.reason} (status {self.status})"


class ProblemError(UserAuthError):
    """The server refused, and said why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        asked = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.status} {self.title}: {self.detail}{asked}"

    @property
    def type(self) -> str:
        """Return the problem type, as the server sends it; compare it whole."""
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
        """Return what to do, in words that may change."""
        return self.problem.detail

    @property
    def request_id(self) -> str | None:
        """Return the id by which the server's log knows the request."""
        return self.problem.request_id

    @property
    def errors(self) -> tuple[FieldError, ...]:
        """Return what is wrong with which field."""
        return self.problem.errors

    @property
    def retry_after(self) -> int | None:
        """Return how many seconds to wait before the next try, where the server says so."""
        return self.problem.retry_after


class MalformedRequest(ProblemError):
    """400."""


class Unauthorized(ProblemError):
    """401: nobody, or not who they say."""


class Forbidden(ProblemError):
    """403: a disabled account, for one."""


class NotFound(ProblemError):
    """404."""


class Conflict(ProblemError):
    """409: the e-mail address is taken."""


class InvalidFields(ProblemError):
    """422: ``errors`` tells which fields, and why."""


class TooManyTries(ProblemError):
    """429: wait for ``retry_after`` seconds."""


class InternalError(ProblemError):
    """500."""


class Unavailable(ProblemError):
    """503: not now; try again after ``retry_after`` seconds."""


_BY_STATUS: Mapping[int, type[ProblemError]] = MappingProxyType(
    {
        400: MalformedRequest,
        401: Unauthorized,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        422: InvalidFields,
        429: TooManyTries,
        500: InternalError,
        503: Unavailable,
    }
)


def problem_error(problem: Problem) -> ProblemError:
    """Return the error of a problem, by its status."""
    return _BY_STATUS.get(problem.status, ProblemError)(problem)

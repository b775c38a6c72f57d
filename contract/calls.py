"""Tables of what the methods of a path require and return, which each handler declares.

prepare() in handlers.base enforces these tables, and contract.openapi documents them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, ClassVar

from contract.forms import Form, NoFields
from contract.parameters import Parameter
from rules.errors import DatabaseUnavailable, MailDisabled, Problem, TooManyMessages

# The problems of a call that sends a message.
MESSAGE_PROBLEMS = (MailDisabled, TooManyMessages, DatabaseUnavailable)
# Methods that change nothing, except for the login.
_SAFE = frozenset({"GET", "HEAD"})


class Guard(Enum):
    """Which credentials a call requires."""

    ANYONE = auto()  # none; Authorization is ignored
    USER = auto()
    USER_OR_SESSION = auto()  # the same, or without Authorization the session of a browser
    # Like USER, but also accepts the password of a user whose email address is not verified.
    UNVERIFIED_USER = auto()
    PASSWORD = auto()  # a user's email address and password
    LOGIN = auto()  # the same, or both in the body
    TOKEN = auto()  # a user's token
    CLIENT = auto()  # the id and secret of a registered client


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A header field of a response, in addition to those of every response."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Link:
    """A call that takes a value from a response: ``value`` is an OpenAPI runtime expression."""

    name: str
    operation: str
    parameter: str
    value: str


@dataclass(frozen=True, slots=True)
class Response:
    """A successful response. ``document`` is the type of its body, None if it is empty."""

    description: str
    document: Any = None
    status: int = HTTPStatus.OK
    fields: tuple[HeaderField, ...] = ()
    links: tuple[Link, ...] = ()
    # A response with another status; the settings or the request determine which one is sent.
    alternative: "Response | None" = None


@dataclass(frozen=True, slots=True)
class Call:
    """One method of a path: the credentials, query and body it requires, and its responses.

    With ``body_is_optional``, no body means a body without fields. ``problems`` lists the errors
    that do not follow from the guard and the body.
    """

    guard: Guard = Guard.ANYONE
    body: type[Form] = NoFields
    query: tuple[Parameter[Any], ...] = ()
    summary: str = field(kw_only=True)
    description: str = field(kw_only=True)
    response: Response = field(kw_only=True)
    body_is_optional: bool = field(kw_only=True, default=False)
    problems: tuple[type[Problem], ...] = field(kw_only=True, default=())

    @property
    def responses(self) -> tuple[Response, ...]:
        """Return the successful responses."""
        alternative = self.response.alternative
        return (self.response,) if alternative is None else (self.response, alternative)

    @property
    def sends_message(self) -> bool:
        """Return whether the call is rejected if the server sends no messages."""
        return MailDisabled in self.problems

    def needs_origin_check(self, method: str) -> bool:
        """Return whether to reject the call from other origins if a browser adds credentials."""
        if self.guard is Guard.ANYONE:
            return False
        return self.guard is Guard.PASSWORD or method not in _SAFE


def path_template(pattern: str) -> str:
    """Return the path of a route, with ``{id}`` in place of the group that matches an id."""
    return pattern.replace("([^/]+)", "{id}")


class Endpoint:
    """A path, with a call for each of its methods."""

    calls: ClassVar[Mapping[str, Call]] = {}
    # Whether it is also served over plain HTTP if HTTPS is required.
    allows_plain_http: ClassVar[bool] = False
    # Whether query parameters that the call does not declare are ignored instead of rejected.
    ignores_unknown_parameters: ClassVar[bool] = False
    # Whether only the head matters. A body is then neither awaited nor read.
    ignores_body: ClassVar[bool] = False

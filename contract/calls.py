"""What the methods of a path ask for and answer: the tables of handlers are made of these.

prepare() in handlers.base goes by them, and contract.openapi tells readers of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, ClassVar

from contract.forms import Form, NoFields
from contract.parameters import Parameter
from rules.errors import Problem

# Methods that change nothing, but for the log-in.
_SAFE = frozenset({"GET", "HEAD"})


class Guard(Enum):
    """Whom a call is open to."""

    ANYONE = auto()
    USER = auto()
    PASSWORD = auto()  # a user, by e-mail and password
    TOKEN = auto()  # a user, by a token
    CLIENT = auto()  # a service, by its id and secret


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A field of the answer's header, beside those that every answer has."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """A call that takes a value from an answer: ``value`` is OpenAPI's runtime expression."""

    name: str
    operation: str
    parameter: str
    value: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no refusal. ``document`` is its type, None where it is empty."""

    text: str
    document: Any = None
    status: int = HTTPStatus.OK
    fields: tuple[HeaderField, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """What one method of a path asks for: credentials, a query, a body; and what it answers.

    ``body_is_optional`` takes no body for one without fields. ``refusals`` are those that do not
    follow from guard and body.
    """

    guard: Guard = Guard.ANYONE
    body: type[Form] = NoFields
    query: tuple[Parameter[Any], ...] = ()
    summary: str = field(kw_only=True)
    text: str = field(kw_only=True, default="")
    answer: Answer = field(kw_only=True)
    body_is_optional: bool = field(kw_only=True, default=False)
    refusals: tuple[type[Problem], ...] = field(kw_only=True, default=())

    def is_guarded_from_other_sites(self, method: str) -> bool:
        """Tell whether it changes something for whoever presents credentials."""
        if self.guard is Guard.ANYONE:
            return False
        return self.guard is Guard.PASSWORD or method not in _SAFE


class Endpoint:
    """A path, and the calls that its methods are."""

    calls: ClassVar[Mapping[str, Call]] = {}
    # Whether it is answered over plain HTTP, too, where HTTPS is required.
    is_open_to_plain_http: ClassVar[bool] = False

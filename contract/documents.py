"""JSON documents of responses: their types, which contract.openapi reads, and how to fill them."""

from datetime import UTC, datetime
from typing import Annotated, Literal, NotRequired

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from contract.parameters import UUID_FORM
from db.rows import EventRow, TokenRow, UserRow
from rules.errors import FieldError, InvalidFields, Problem
from rules.tokens import TokenKind
from services.event_kinds import EventKind
from services.tokens import Introspection, IssuedToken

Id = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
# The format ``uuid`` would require the bits of a version (RFC 9562), but those of the id of a token
# are random.
TOKEN_ID_SCHEMA = {"type": "string", "pattern": f"^{UUID_FORM.pattern}$"}
TokenId = Annotated[str, WithJsonSchema(TOKEN_ID_SCHEMA)]
Time = Annotated[
    str,
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-11-24T11:08:25.123Z"]}
    ),
]
Seconds = Annotated[
    int, WithJsonSchema({"type": "integer", "format": "int64", "examples": [1795604905]})
]
# Rows contain these as plain text.
_Kind = Annotated[str, WithJsonSchema({"type": "string", "enum": [*EventKind]})]
_TokenKind = Annotated[str, WithJsonSchema({"type": "string", "enum": [*TokenKind]})]
Outcome = Annotated[str, WithJsonSchema({"type": "string", "enum": ["success", "failure"]})]


class Empty(TypedDict):
    """An empty object."""


class Status(TypedDict):
    """The result of a successful health check."""

    status: Literal["ok"]


class User(TypedDict):
    """A user."""

    id: Id
    email: str
    email_verified: bool
    name: str | None
    created_at: Time
    updated_at: Time


class RequestedMessage(TypedDict):
    """The id of the request. Send it together with the code from the message."""

    request: Id


class NewToken(TypedDict):
    """A token, when it expires, and in how many seconds."""

    token: str
    expires_at: Time
    expires_in: int


class Token(TypedDict):
    """A valid token or session of the user; ``current`` marks the one that is presented."""

    id: TokenId
    created_at: Time
    expires_at: Time
    last_used_at: Time | None
    user_agent: str | None
    ip: str | None
    current: bool
    kind: _TokenKind


class Tokens(TypedDict):
    """The valid tokens of the user, newest first."""

    tokens: list[Token]


class Revoked(TypedDict):
    """How many tokens were revoked."""

    revoked: int


class Event(TypedDict):
    """An event of the account; it occurred ``times`` times in the minute that ended at ``at``."""

    id: Id
    at: Time
    kind: _Kind
    outcome: Outcome
    ip: str | None
    client_id: str | None
    request_id: str | None
    times: int


class Events(TypedDict):
    """A page of events, newest first; ``before`` requests the next page, null on the last one."""

    events: list[Event]
    before: Id | None


class ActiveToken(TypedDict):
    """Introspection of a valid token (RFC 7662, section 2.2)."""

    active: Literal[True]
    sub: Id
    email: str
    email_verified: bool
    name: str | None
    iat: Seconds
    exp: Seconds
    jti: TokenId
    token_type: Literal["Bearer"]


class InactiveToken(TypedDict):
    """Introspection of any other token."""

    active: Literal[False]


class FieldProblem(TypedDict):
    """Why one field or parameter is invalid; ``code`` is a stable name of the reason."""

    field: str
    message: str
    code: NotRequired[str]


class ProblemDocument(TypedDict):
    """An error (RFC 9457); ``type`` is stable, ``detail`` says what to do.

    ``error`` is the code of OAuth 2.0 (RFC 6749, section 5.2), at `/api/token/` only.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: NotRequired[list[FieldProblem]]
    error: NotRequired[Literal["invalid_request", "invalid_client"]]


def user_document(user: UserRow) -> User:
    """Return the document of a user."""
    return {
        "id": user.id,
        "email": user.email,
        "email_verified": user.is_email_verified,
        "name": user.name,
        "created_at": rfc3339(user.created_at),
        "updated_at": rfc3339(user.updated_at),
    }


def new_token_document(issued: IssuedToken) -> NewToken:
    """Return the document of a newly issued token."""
    return {
        "token": issued.token,
        "expires_at": rfc3339(issued.expires_at),
        "expires_in": issued.expires_in,
    }


def token_document(token: TokenRow, *, current: bool) -> Token:
    """Return the document of a token in its owner's list."""
    return {
        "id": token.id,
        "created_at": rfc3339(token.created_at),
        "expires_at": rfc3339(token.expires_at),
        "last_used_at": None if token.last_used_at is None else rfc3339(token.last_used_at),
        "user_agent": token.user_agent,
        "ip": token.ip,
        "current": current,
        "kind": token.kind,
    }


def event_document(event: EventRow) -> Event:
    """Return the document of an event in the list of its user."""
    return {
        "id": event.public_id,
        "at": rfc3339(event.at),
        "kind": event.kind,
        "outcome": event.outcome,
        "ip": event.ip,
        "client_id": event.client_id,
        "request_id": event.request_id,
        "times": event.times,
    }


def introspection_document(found: Introspection | None) -> ActiveToken | InactiveToken:
    """Return the document of an introspected token; None is one that is not valid."""
    if found is None:
        return {"active": False}
    return {
        "active": True,
        "sub": found.user.id,
        "email": found.user.email,
        "email_verified": found.user.is_email_verified,
        "name": found.user.name,
        "iat": found.issued_at,
        "exp": found.expires_at,
        "jti": found.token_id,
        "token_type": "Bearer",
    }


def problem_document(problem: Problem, request_id: str) -> ProblemDocument:
    """Return the document of an error."""
    document: ProblemDocument = {
        "type": problem.type_uri(),
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "request_id": request_id,
    }
    if isinstance(problem, InvalidFields):
        document["errors"] = [_field_problem(error) for error in problem.errors]
    return document


def _field_problem(error: FieldError) -> FieldProblem:
    document: FieldProblem = {"field": error.field, "message": error.message}
    return document if error.code is None else {**document, "code": error.code}


def rfc3339(time: datetime) -> str:
    """Return a time in the format of RFC 3339, in UTC, to the millisecond."""
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    return time.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"

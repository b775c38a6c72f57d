"""Clients of the userauth server: typed, sync and async."""

from userauth_client.answers import (
    ActiveToken,
    Event,
    EventPage,
    Token,
    TokenRecord,
    User,
    VerifiedUser,
)
from userauth_client.async_client import AsyncUserAuthClient
from userauth_client.calls import UNSET
from userauth_client.client import UserAuthClient
from userauth_client.errors import (
    Conflict,
    FieldError,
    Forbidden,
    InternalError,
    InvalidArgumentError,
    InvalidFields,
    MalformedRequest,
    NotFound,
    Problem,
    ProblemError,
    TimedOutError,
    TooManyTries,
    Unauthorized,
    Unavailable,
    UnexpectedAnswerError,
    UnreachableError,
    UserAuthError,
)

__all__ = [
    "UNSET",
    "ActiveToken",
    "AsyncUserAuthClient",
    "Conflict",
    "Event",
    "EventPage",
    "FieldError",
    "Forbidden",
    "InternalError",
    "InvalidArgumentError",
    "InvalidFields",
    "MalformedRequest",
    "NotFound",
    "Problem",
    "ProblemError",
    "TimedOutError",
    "Token",
    "TokenRecord",
    "TooManyTries",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswerError",
    "UnreachableError",
    "User",
    "UserAuthClient",
    "UserAuthError",
    "VerifiedUser",
]

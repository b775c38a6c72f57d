"""Typed clients for the userauth server, sync and async."""

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
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnexpectedResponseError,
    UnreachableError,
    UserAuthError,
)
from userauth_client.models import (
    ActiveToken,
    Event,
    EventPage,
    Token,
    TokenRecord,
    User,
    VerifiedUser,
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
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnexpectedResponseError",
    "UnreachableError",
    "User",
    "UserAuthClient",
    "UserAuthError",
    "VerifiedUser",
]

"""The errors of each call, for the OpenAPI document."""

import inspect
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from contract.calls import Call, Endpoint, Guard
from contract.documents import ProblemDocument, problem_document
from contract.openapi_schemas import SCHEMAS_PATH, Json
from rules.errors import (
    AccountDisabled,
    ContentTooLarge,
    CredentialsInvalid,
    CredentialsMissing,
    CrossSiteRequest,
    DatabaseUnavailable,
    EmailUnverified,
    FieldError,
    HeaderTooLarge,
    HttpsRequired,
    InternalError,
    InvalidFields,
    MalformedRequest,
    Overloaded,
    Problem,
    RequestTimeout,
    TokenExpired,
    TokenInvalid,
    TooManyAttempts,
    TooManyHeaderFields,
    TooManyMessages,
    TooManyWrites,
    UnsupportedCoding,
    UnsupportedMediaType,
    UnsupportedVersion,
    problem_types,
)
from transport.head import MAX_BYTES, MAX_FIELDS

_SAMPLE_REQUEST_ID = "3f6c0d0f9d9b4c0f8f6f0a1b2c3d4e5f"

# A body is checked before it is rejected by a call that accepts none.
_OF_BODIES = (RequestTimeout, ContentTooLarge, UnsupportedMediaType)
_OF_EVERY_CALL = (
    MalformedRequest,
    InvalidFields,
    TooManyHeaderFields,
    HeaderTooLarge,
    InternalError,
    UnsupportedCoding,
    UnsupportedVersion,
)
_OF_PASSWORD = (
    CredentialsMissing,
    CredentialsInvalid,
    TokenInvalid,
    AccountDisabled,
    TooManyAttempts,
    DatabaseUnavailable,
    Overloaded,
)
_OF_USER = (*_OF_PASSWORD, TokenExpired)
_OF_GUARD: Mapping[Guard, tuple[type[Problem], ...]] = {
    Guard.ANYONE: (),
    Guard.USER: (*_OF_USER, EmailUnverified),
    Guard.USER_OR_SESSION: (*_OF_USER, EmailUnverified),
    Guard.UNVERIFIED_USER: _OF_USER,
    Guard.PASSWORD: (*_OF_PASSWORD, EmailUnverified),
    Guard.LOGIN: (*_OF_PASSWORD, EmailUnverified),
    Guard.TOKEN: (
        CredentialsMissing,
        CredentialsInvalid,
        TokenInvalid,
        TokenExpired,
        DatabaseUnavailable,
    ),
    Guard.CLIENT: (
        CredentialsMissing,
        CredentialsInvalid,
        TokenInvalid,
        TooManyAttempts,
        DatabaseUnavailable,
    ),
}


def problems_of(method: str, handler: type[Endpoint], call: Call) -> Iterable[type[Problem]]:
    """Return the errors that a call may return, always in the same order."""
    plain = () if handler.allows_plain_http else (HttpsRequired,)
    cross = (CrossSiteRequest,) if call.needs_origin_check(method) else ()
    body = () if handler.ignores_body else _OF_BODIES
    return dict.fromkeys(
        (*_OF_EVERY_CALL, *body, *plain, *cross, *_OF_GUARD[call.guard], *call.problems)
    )


def sample_problems(max_body_bytes: int) -> dict[type[Problem], Problem]:
    """Return an example of each error that a call may return."""
    with_arguments: tuple[Problem, ...] = (
        ContentTooLarge(max_body_bytes),
        UnsupportedMediaType("application/json"),
        InvalidFields([FieldError("email", "is required")]),
        TooManyHeaderFields(MAX_FIELDS),
        HeaderTooLarge(MAX_BYTES),
        TooManyAttempts(1),
        TooManyWrites(1),
        TooManyMessages(1),
        Overloaded(1),
    )
    others = (cls() for cls in problem_types() if _needs_no_argument(cls))
    return {type(problem): problem for problem in (*others, *with_arguments)}


def _needs_no_argument(cls: type[Problem]) -> bool:
    parameters = inspect.signature(cls).parameters.values()
    return all(parameter.default is not parameter.empty for parameter in parameters)


def problem_schema(sample: Problem) -> Json:
    """Return the schema of a problem type, with the values that all of its documents share."""
    common = {"type": sample.type_uri(), "title": sample.title, "status": sample.status}
    document = problem_document(sample, _SAMPLE_REQUEST_ID)
    return {
        "allOf": [{"$ref": SCHEMAS_PATH + ProblemDocument.__name__}],
        "properties": {name: {"const": value} for name, value in common.items()},
        "required": list(document),
        "examples": [document],
    }


def status_of(problem: Problem) -> HTTPStatus:
    """Return the status of an error."""
    return HTTPStatus(problem.status)

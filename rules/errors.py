"""Every error response, as one tree.

An error has what the caller receives: status, type, title, detail and headers. Its cause
(``raise … from cause``) is only logged, and never leaves the server.

Problem
├── MalformedRequest        400  malformed-request
├── Unauthorized            401  (with both challenges)
│   ├── CredentialsMissing       credentials-missing
│   ├── CredentialsInvalid       credentials-invalid
│   └── TokenInvalid             token-invalid
│       └── TokenExpired         token-expired
├── AccountDisabled         403  account-disabled
├── EmailUnverified         403  email-unverified
├── RegistrationClosed      403  registration-closed
├── CrossSiteRequest        403  cross-site-request
├── HttpsRequired           403  https-required
├── NotFound                404  not-found
├── MethodNotAllowed        405  method-not-allowed     Allow
├── RequestTimeout          408  request-timeout
├── EmailTaken              409  email-taken
├── ContentTooLarge         413  content-too-large
├── UnsupportedMediaType    415  unsupported-media-type
├── InvalidFields           422  invalid-fields         errors
│   ├── CodeInvalid              code-invalid
│   ├── CurrentPasswordWrong
│   └── InvalidParameters
├── TooManyAttempts         429  too-many-tries         Retry-After
│   ├── TooManyWrites            too-many-writes
│   └── TooManyMessages          too-many-messages
├── TooManyHeaderFields     431  too-many-header-fields
├── HeaderTooLarge          431  header-too-large
├── InternalError           500  internal-error
├── MailDisabled            501  mail-disabled
├── UnsupportedCoding       501  unsupported-coding
├── Unavailable             503                         Retry-After
│   ├── DatabaseUnavailable      database-unavailable
│   │   └── RowLocked
│   ├── Overloaded               overloaded
│   └── ShuttingDown             shutting-down
└── UnsupportedVersion      505  unsupported-version

CallerDisconnected is not a problem: no caller is left to receive it.

The form is RFC 9457; each type is explained in docs/problems.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rules.counting import counted

REALM = "userauth"
Headers = Sequence[tuple[str, str]]


class Problem(Exception):
    """An error that the caller receives."""

    status: ClassVar[int]
    name: ClassVar[str]
    title: ClassVar[str]
    advice: ClassVar[str]

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.advice)
        self.detail = detail or self.advice

    @classmethod
    def type_uri(cls) -> str:
        """Return the problem type: a relative URI that points into the documentation."""
        return f"/docs/problems.md#{cls.name}"

    @property
    def headers(self) -> Headers:
        """Return the header fields of the response."""
        return ()


def problem_types(root: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Yield every class in the tree that has its own problem type."""
    for kind in root.__subclasses__():
        if "name" in vars(kind):
            yield kind
        yield from problem_types(kind)


class CallerDisconnected(Exception):
    """The caller disconnected before its work began."""


class MalformedRequest(Problem):
    status = 400
    name = "malformed-request"
    title = "The request is malformed"
    advice = "Send a well-formed HTTP request."


class Unauthorized(Problem):
    """Credentials are missing or not valid: RFC 9110 section 11, RFC 7617, RFC 6750."""

    status = 401
    bearer_error: ClassVar[str | None] = None

    @property
    def headers(self) -> Headers:
        return (*self.basic_challenge, *self.bearer_challenge)

    @property
    def basic_challenge(self) -> Headers:
        """Return the challenge for an email address and a password, or a client id and a secret."""
        return (("WWW-Authenticate", f'Basic realm="{REALM}", charset="UTF-8"'),)

    @property
    def bearer_challenge(self) -> Headers:
        """Return the challenge for a token, for which browsers show no dialog."""
        error = f', error="{self.bearer_error}"' if self.bearer_error else ""
        return (("WWW-Authenticate", f'Bearer realm="{REALM}"{error}'),)


class CredentialsMissing(Unauthorized):
    name = "credentials-missing"
    title = "Credentials are required"
    advice = "Send an Authorization header: Basic with email and password, or a token."


class CredentialsInvalid(Unauthorized):
    name = "credentials-invalid"
    title = "The credentials are invalid"
    advice = "Check the email address and the password."


class TokenInvalid(Unauthorized):
    name = "token-invalid"
    title = "The token is invalid"
    advice = "Log in again with email and password to get a new token."
    bearer_error = "invalid_token"


class TokenExpired(TokenInvalid):
    name = "token-expired"
    title = "The token has expired"


class AccountDisabled(Problem):
    """Revealed only to a caller that sent the correct password."""

    status = 403
    name = "account-disabled"
    title = "The account is disabled"
    advice = "Ask an administrator of this service to enable the account."


class EmailUnverified(Problem):
    """Revealed only to a caller that sent the correct password."""

    status = 403
    name = "email-unverified"
    title = "The email address is not verified"
    advice = (
        "Confirm the address with the link or the code that was sent to it, or request another"
        " message: POST /api/user/verification."
    )


class RegistrationClosed(Problem):
    status = 403
    name = "registration-closed"
    title = "Registration is closed"
    advice = "Ask an administrator of this service for an account."


class CrossSiteRequest(Problem):
    """A browser may have added the credentials without the user's intent."""

    status = 403
    name = "cross-site-request"
    title = "The request comes from a page of another site"
    advice = "Send the request from this site, or with a token as Bearer."


class HttpsRequired(Problem):
    """The request was sent in clear text; nothing in it is processed."""

    status = 403
    name = "https-required"
    title = "HTTPS is required"
    advice = "Send the request over HTTPS, and replace the credentials that it contained."


class NotFound(Problem):
    status = 404
    name = "not-found"
    title = "The resource does not exist"
    advice = "Check the path of the request."


class MethodNotAllowed(Problem):
    status = 405
    name = "method-not-allowed"
    title = "The path does not support this method"

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allow = ", ".join(allowed)
        super().__init__(f"Use one of: {self.allow}.")

    @property
    def headers(self) -> Headers:
        return (("Allow", self.allow),)


class RequestTimeout(Problem):
    """The body did not arrive in time; nothing in the request was processed."""

    status = 408
    name = "request-timeout"
    title = "The body did not arrive in time"
    advice = "Send the body that the header announces, without a pause, on a new connection."


class EmailTaken(Problem):
    status = 409
    name = "email-taken"
    title = "The email address is taken"
    advice = "Log in, or register with another email address."


class ContentTooLarge(Problem):
    status = 413
    name = "content-too-large"
    title = "The body is too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"Send a body of at most {max_bytes} bytes.")


class UnsupportedMediaType(Problem):
    status = 415
    name = "unsupported-media-type"
    title = "The media type of the body is not supported"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"Send the body in UTF-8 with Content-Type: {wanted}, not compressed.")


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in one field of a body; ``code`` identifies it for programs."""

    field: str
    message: str
    code: str | None = None


class Rejected(ValueError):
    """A rule rejects a value; ``code`` identifies the reason for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class InvalidFields(Problem):
    status = 422
    name = "invalid-fields"
    title = "The request has invalid fields or parameters"
    part: ClassVar[str] = "body"

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        reasons = "; ".join(f"{error.field} {error.message}" for error in self.errors)
        super().__init__(f"Correct the {self.part} and send the request again: {reasons}.")


class InvalidParameters(InvalidFields):
    """The query has parameters that are invalid or unknown."""

    part = "query"


class CurrentPasswordWrong(InvalidFields):
    """A guess at a credential: reported as a field, and logged as rejected credentials."""

    def __init__(self, field: str) -> None:
        super().__init__([FieldError(field, "is not the current password")])


class CodeInvalid(InvalidFields):
    """The proof is wrong, malformed, used, expired or void: the response does not reveal which."""

    name = "code-invalid"
    title = "The link or the code is not valid"
    advice = (
        "Check the link or the code. It may have been used or have expired: then request a new"
        " message."
    )

    def __init__(self, field: str = "code") -> None:
        super().__init__([FieldError(field, "is not valid")])
        self.detail = self.advice


class TooManyHeaderFields(Problem):
    """RFC 6585, section 5. No field was processed."""

    status = 431
    name = "too-many-header-fields"
    title = "The header has too many fields"

    def __init__(self, max_fields: int) -> None:
        super().__init__(f"Send at most {max_fields} header fields.")


class HeaderTooLarge(Problem):
    """RFC 6585, section 5. No field was processed."""

    status = 431
    name = "header-too-large"
    title = "The header is too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"Send a request line and header fields of at most {max_bytes} bytes.")


def _try_again(seconds: int) -> str:
    return f"Try again in {counted(seconds, 'second')}."


class TooManyAttempts(Problem):
    """The next password or registration has to wait (RFC 6585, section 4)."""

    status = 429
    name = "too-many-tries"
    title = "There were too many attempts"
    still_works: ClassVar[str] = "Requests with a valid token still work."

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = max(1, retry_after_seconds)
        super().__init__(f"{_try_again(self.retry_after_seconds)} {self.still_works}")

    @property
    def headers(self) -> Headers:
        return (("Retry-After", str(self.retry_after_seconds)),)


class TooManyWrites(TooManyAttempts):
    """The next change by this user has to wait: many already wait, or the budget is exhausted."""

    name = "too-many-writes"
    title = "There were too many changes"
    still_works = "Requests that change nothing still work."


class TooManyMessages(TooManyAttempts):
    """The next request for a message has to wait."""

    name = "too-many-messages"
    title = "There were too many requests for messages"
    still_works = "Messages that were sent before are still valid."


class InternalError(Problem):
    status = 500
    name = "internal-error"
    title = "An internal error occurred"
    advice = "Try again. If the error persists, send the request_id to an administrator."


class Unavailable(Problem):
    """A temporary failure; Retry-After says when to try again."""

    status = 503
    retry_after_seconds: int = 1

    @property
    def headers(self) -> Headers:
        return (("Retry-After", str(self.retry_after_seconds)),)


class DatabaseUnavailable(Unavailable):
    name = "database-unavailable"
    title = "The database is unavailable"
    retry_after_seconds = 2
    advice = "Try again in 2 seconds. If the request is a change, first check whether it was made."


class RowLocked(DatabaseUnavailable):
    """One row is locked for too long, which does not affect other requests."""


class Overloaded(Unavailable):
    """More passwords are waiting than can be checked in the maximum wait."""

    name = "overloaded"
    title = "Too many passwords are waiting to be verified"

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = max(1, retry_after_seconds)
        super().__init__(_try_again(self.retry_after_seconds))


class ShuttingDown(Unavailable):
    name = "shutting-down"
    title = "The server is shutting down"
    advice = "Try again in 1 second, on a new connection."


class MailDisabled(Problem):
    """``mail.url`` is not set."""

    status = 501
    name = "mail-disabled"
    title = "This server sends no messages"
    advice = "Ask an administrator of this service."


class UnsupportedCoding(Problem):
    """RFC 9112, section 6.1: the end of the body is unknown."""

    status = 501
    name = "unsupported-coding"
    title = "The transfer coding is not supported"
    advice = "Send the body with Content-Length, or with Transfer-Encoding: chunked alone."


class UnsupportedVersion(Problem):
    status = 505
    name = "unsupported-version"
    title = "The HTTP version is not supported"
    advice = "Send the request with HTTP/1.1."

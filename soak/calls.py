"""The calls of a client, and their encoding as requests."""

import base64
import json
from dataclasses import asdict, dataclass
from enum import Enum

EMAIL_DOMAIN = "example.com"
TOKEN_FORMS = 4


class Effect(Enum):
    """The effect of a successful call on the user."""

    NONE = "none"
    REGISTER = "register"
    LOG_IN = "log in"
    CHANGE = "change"
    DELETE = "delete"
    MESSAGE = "request a message"
    PROVE = "present the secret of a message"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and a path, and the effect of a successful call."""

    method: str
    path: str
    effect: Effect = Effect.NONE


REGISTER = Endpoint("POST", "/api/user/register", Effect.REGISTER)
LOG_IN = Endpoint("POST", "/api/user/login", Effect.LOG_IN)
LOG_IN_BY_GET = Endpoint("GET", "/api/user/login", Effect.LOG_IN)
READ = Endpoint("GET", "/api/user")
CHANGE = Endpoint("PATCH", "/api/user", Effect.CHANGE)
DELETE = Endpoint("DELETE", "/api/user", Effect.DELETE)
REQUEST_VERIFICATION = Endpoint("POST", "/api/user/verification", Effect.MESSAGE)
VERIFY = Endpoint("POST", "/api/user/verification/confirm", Effect.PROVE)
REQUEST_RESET = Endpoint("POST", "/api/user/password/reset", Effect.MESSAGE)
RESET = Endpoint("POST", "/api/user/password/reset/confirm", Effect.PROVE)
REQUEST_EMAIL = Endpoint("POST", "/api/user/email", Effect.MESSAGE)
CHANGE_EMAIL = Endpoint("POST", "/api/user/email/confirm", Effect.PROVE)
UNDO_EMAIL = Endpoint("POST", "/api/user/email/undo", Effect.PROVE)
_WITH_BODY = {Effect.REGISTER, Effect.CHANGE, Effect.MESSAGE, Effect.PROVE}


@dataclass(frozen=True, slots=True)
class PasswordCredentials:
    """Basic credentials with an email address."""

    email: str
    password: str

    @property
    def header(self) -> str:
        return f"Basic {_base64(f'{self.email}:{self.password}')}"


@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """A token in one of the forms that the server accepts."""

    token: str
    form: int

    @property
    def header(self) -> str:
        forms = (
            f"Bearer {self.token}",
            f"Basic {self.token}",
            f"Basic {_base64(self.token)}",
            f"Basic {_base64(f'{self.token}:anything')}",
        )
        return forms[self.form % TOKEN_FORMS]


Credentials = PasswordCredentials | TokenCredentials


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields that a call sets; None leaves a field unchanged."""

    email: str | None = None
    name: str | None = None
    password: str | None = None
    current_password: str | None = None
    token: str | None = None
    code: str | None = None
    request: str | None = None

    def encoded(self) -> bytes:
        return json.dumps({key: value for key, value in asdict(self).items() if value}).encode()


@dataclass(frozen=True, slots=True)
class InvalidBody:
    """A body that the server rejects with a status, if the credentials are valid."""

    content: bytes
    status: int


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and its properties for the model."""

    number: int
    kind: str
    endpoint: Endpoint
    credentials: Credentials | None = None
    fields: Fields = Fields()
    invalid_body: InvalidBody | None = None
    # Whether the client disconnects without waiting for the response.
    aborts: bool = False

    @property
    def effect(self) -> Effect:
        return self.endpoint.effect

    @property
    def may_change(self) -> bool:
        """Return whether a lost response leaves the state of the user in doubt."""
        return not self.invalid_body and self.effect not in {Effect.NONE, Effect.LOG_IN}

    @property
    def hashes(self) -> int:
        """Return the maximum number of passwords that the server hashes for it."""
        is_by_password = isinstance(self.credentials, PasswordCredentials)
        passwords = (self.fields.password, self.fields.current_password)
        return is_by_password + sum(password is not None for password in passwords)

    def encoded(self, request_id: str) -> bytes:
        """Return the bytes of the request."""
        body = self._body()
        lines = [
            f"{self.endpoint.method} {self.endpoint.path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"X-Request-ID: {request_id}",
        ]
        if self.credentials is not None:
            lines.append(f"Authorization: {self.credentials.header}")
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        elif self.endpoint.method == "POST":
            lines.append("Content-Length: 0")
        return "\r\n".join([*lines, "", ""]).encode() + (body or b"")

    def _body(self) -> bytes | None:
        if self.invalid_body is not None:
            return self.invalid_body.content
        if self.effect in _WITH_BODY and self.fields != Fields():
            return self.fields.encoded()
        return None


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()

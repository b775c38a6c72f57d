"""What a client can ask, and how that is written on the wire."""

import base64
import json
from dataclasses import dataclass
from enum import Enum

EMAIL_DOMAIN = "example.com"
TOKEN_FORMS = 4


class Effect(Enum):
    """What a call does to the user where it succeeds."""

    NONE = "none"
    REGISTER = "register"
    LOG_IN = "log in"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class ByPassword:
    """Basic credentials with an e-mail address."""

    email: str
    password: str

    @property
    def header(self) -> str:
        return f"Basic {_base64(f'{self.email}:{self.password}')}"


@dataclass(frozen=True, slots=True)
class ByToken:
    """A token, in one of the forms in which it may be presented."""

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


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and what it means for the book.

    ``refusal`` is the status of a call that is wrong in itself, once its credentials are good;
    ``password`` and ``name`` are what it sets, None where it leaves them as they are.
    """

    number: int
    kind: str
    method: str
    path: str
    effect: Effect = Effect.NONE
    proof: ByPassword | ByToken | None = None
    email: str = ""
    name: str | None = None
    password: str | None = None
    refusal: int = 0
    raw_body: bytes | None = None
    hangs_up: bool = False

    @property
    def may_change(self) -> bool:
        """Tell whether a lost answer leaves the book in doubt."""
        return not self.refusal and self.effect not in {Effect.NONE, Effect.LOG_IN}

    def encoded(self, request_id: str) -> bytes:
        """Return the request as it is sent."""
        body = self.raw_body if self.raw_body is not None else self._body()
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"X-Request-ID: {request_id}",
        ]
        if self.proof is not None:
            lines.append(f"Authorization: {self.proof.header}")
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        elif self.method == "POST":
            lines.append("Content-Length: 0")
        return "\r\n".join([*lines, "", ""]).encode() + (body or b"")

    def _body(self) -> bytes | None:
        if self.effect not in {Effect.REGISTER, Effect.CHANGE}:
            return None
        members = {"email": self.email or None, "name": self.name, "password": self.password}
        return json.dumps({key: value for key, value in members.items() if value}).encode()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()

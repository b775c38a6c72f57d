"""The calls of the server: what each sends, and how its answer is read. Nothing is sent here."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, TypeVar
from urllib.parse import urlencode

from userauth_client import arguments
from userauth_client.answers import (
    ActiveToken,
    Event,
    EventPage,
    Token,
    TokenRecord,
    User,
    VerifiedUser,
)
from userauth_client.replies import Document, Reply

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Unset(Enum):
    """The type of UNSET, which stands for what was not given, as None is a value."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET


class Presents(Enum):
    """Whose credentials go with a call."""

    NOBODY = "nobody"
    CLIENT = "client"  # what the client was given
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Call(Generic[Result_co]):
    """A request and the way to read its answer."""

    method: str
    path: str
    read: Callable[[Reply], Result_co] = field(repr=False)
    status: int = 200
    presents: Presents = Presents.CLIENT
    authorization: str | None = field(default=None, repr=False)  # its own
    content_type: str | None = None
    content: bytes = field(default=b"", repr=False)
    # Whether a refused token is renewed, and whether the token is over afterwards.
    renews: bool = True
    ends_token: bool = False


def register(email: str, password: str, name: str | None) -> Call[User]:
    fields = {"email": email, "password": password}
    return Call(
        "POST",
        "/api/user/register",
        _user,
        status=201,
        presents=Presents.NOBODY,
        content_type="application/json",
        content=_json(fields if name is None else {**fields, "name": name}),
    )


def log_in(email: str, password: str) -> Call[Token]:
    return Call(
        "POST",
        "/api/user/login",
        _token,
        presents=Presents.OWN,
        authorization=arguments.basic(email, password),
    )


def get_user() -> Call[User]:
    return Call("GET", "/api/user", _user)


def update_user(
    name: str | Unset | None, password: str | None, current_password: str | None
) -> Call[User]:
    fields: dict[str, str | None] = {}
    if not isinstance(name, Unset):
        fields["name"] = name
    if password is not None:
        fields["password"] = password
    if current_password is not None:
        fields["current_password"] = current_password
    return Call("PATCH", "/api/user", _user, content_type="application/json", content=_json(fields))


def delete_user() -> Call[None]:
    return Call("DELETE", "/api/user", _nothing, ends_token=True)


def log_out() -> Call[None]:
    # A token that is refused is as good as logged out: a new one would be made for nothing.
    return Call("POST", "/api/user/logout", _nothing, status=204, renews=False, ends_token=True)


def list_tokens() -> Call[tuple[TokenRecord, ...]]:
    return Call("GET", "/api/user/tokens", _token_records)


def end_token(token_id: str) -> Call[None]:
    path = f"/api/user/tokens/{arguments.path_part(token_id)}"
    return Call("DELETE", path, _nothing, status=204)


def end_tokens(*, keep_current: bool) -> Call[int]:
    query = "?keep_current=true" if keep_current else ""
    return Call("DELETE", f"/api/user/tokens{query}", _revoked, ends_token=not keep_current)


def list_events(limit: int | None, before: str | None) -> Call[EventPage]:
    chosen: dict[str, int | bytes] = {}
    if limit is not None:
        chosen["limit"] = limit
    if before is not None:
        chosen["before"] = arguments.utf8(before)
    query = urlencode(chosen)
    return Call("GET", "/api/user/events" + (f"?{query}" if query else ""), _event_page)


def verify() -> Call[VerifiedUser]:
    return Call("GET", "/api/verify", _verified_user)


def introspect(token: Token | str) -> Call[ActiveToken | None]:
    return _about_token("/api/token/introspect", token, _active_token)


def revoke(token: Token | str) -> Call[None]:
    return _about_token("/api/token/revoke", token, _nothing)


def check_live() -> Call[None]:
    return Call("GET", "/health/live", _nothing, presents=Presents.NOBODY)


def check_ready() -> Call[None]:
    return Call("GET", "/health/ready", _nothing, presents=Presents.NOBODY)


def _about_token(path: str, token: Token | str, read: Callable[[Reply], Result]) -> Call[Result]:
    return Call(
        "POST",
        path,
        read,
        content_type="application/x-www-form-urlencoded",
        content=urlencode({"token": arguments.utf8(arguments.token_value(token))}).encode(),
        renews=False,
    )


def _json(fields: Mapping[str, str | None]) -> bytes:
    # In ASCII: a lone surrogate is for the server to refuse, as it does in a name.
    return json.dumps(fields).encode("ascii")


def _nothing(_reply: Reply) -> None:
    """Read an answer whose status says it all."""


def _user(reply: Reply) -> User:
    document = reply.document()
    return User(
        id=document.text("id"),
        email=document.text("email"),
        name=document.optional_text("name"),
        created_at=document.time("created_at"),
        updated_at=document.time("updated_at"),
    )


def _token(reply: Reply) -> Token:
    document = reply.document()
    return Token(document.text("token"), document.optional_time("expires_at"))


def _token_records(reply: Reply) -> tuple[TokenRecord, ...]:
    return tuple(map(_token_record, reply.document().each("tokens")))


def _token_record(document: Document) -> TokenRecord:
    return TokenRecord(
        id=document.text("id"),
        created_at=document.time("created_at"),
        expires_at=document.time("expires_at"),
        last_used_at=document.optional_time("last_used_at"),
        user_agent=document.optional_text("user_agent"),
        ip=document.optional_text("ip"),
        current=document.flag("current"),
    )


def _revoked(reply: Reply) -> int:
    return reply.document().number("revoked")


def _event_page(reply: Reply) -> EventPage:
    document = reply.document()
    events = tuple(map(_event, document.each("events")))
    return EventPage(events, document.optional_text("before"))


def _event(document: Document) -> Event:
    return Event(
        id=document.text("id"),
        at=document.time("at"),
        kind=document.text("kind"),
        outcome=document.text("outcome"),
        ip=document.optional_text("ip"),
        client_id=document.optional_text("client_id"),
        request_id=document.optional_text("request_id"),
        times=document.number("times") if "times" in document.members else 1,
    )


def _verified_user(reply: Reply) -> VerifiedUser:
    return VerifiedUser(
        id=reply.decoded("X-Auth-User-Id"),
        email=reply.decoded("X-Auth-Email"),
        name=reply.decoded("X-Auth-Name") or None,
    )


def _active_token(reply: Reply) -> ActiveToken | None:
    document = reply.document()
    if not document.flag("active"):
        return None
    return ActiveToken(
        token_id=document.text("jti"),
        user_id=document.text("sub"),
        email=document.text("email"),
        name=document.optional_text("name"),
        issued_at=document.epoch("iat"),
        expires_at=document.epoch("exp"),
    )

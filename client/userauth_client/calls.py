"""The calls of the API: the request of each, and the parser of its response. Sends nothing."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from http import HTTPStatus
from typing import Final, Generic, TypeVar
from urllib.parse import urlencode

from userauth_client import arguments, parsers
from userauth_client.models import (
    ActiveToken,
    EventPage,
    Token,
    TokenRecord,
    User,
    VerifiedUser,
)
from userauth_client.responses import Response

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Unset(Enum):
    """The type of UNSET, the default of an argument that may be None."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET
_NO_CONTENT = (HTTPStatus.NO_CONTENT,)
_ACCEPTED = (HTTPStatus.ACCEPTED,)


class AuthMode(Enum):
    """The credentials that a call sends."""

    ANONYMOUS = "anonymous"
    CLIENT = "client"  # those that the client was created with
    OWN = "own"  # those in the call itself


@dataclass(frozen=True, slots=True)
class Call(Generic[Result_co]):
    """A request and the parser of its response."""

    method: str
    path: str
    parse: Callable[[Response], Result_co] = field(repr=False)
    statuses: tuple[int, ...] = (HTTPStatus.OK,)
    auth_mode: AuthMode = AuthMode.CLIENT
    authorization: str | None = field(default=None, repr=False)  # for AuthMode.OWN
    content_type: str | None = None
    content: bytes = field(default=b"", repr=False)
    language: str | None = None
    # Whether a rejected token is renewed, and whether success revokes the token.
    renews: bool = True
    revokes_token: bool = False


def register(
    email: str, password: str, name: str | None, language: str | None
) -> Call[User | None]:
    call = _json_call(
        "POST",
        "/api/user/register",
        parsers.registered_user,
        email=email,
        password=password,
        name=name,
    )
    return replace(
        call,
        statuses=(HTTPStatus.CREATED, HTTPStatus.ACCEPTED),
        auth_mode=AuthMode.ANONYMOUS,
        language=None if language is None else arguments.language(language),
    )


def log_in(email: str, password: str) -> Call[Token]:
    return Call(
        "POST",
        "/api/user/login",
        parsers.token,
        auth_mode=AuthMode.OWN,
        authorization=arguments.basic(email, password),
    )


def get_user() -> Call[User]:
    return Call("GET", "/api/user", parsers.user)


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
    return Call(
        "PATCH",
        "/api/user",
        parsers.user,
        content_type="application/json",
        content=_json(fields),
    )


def delete_user(current_password: str | None) -> Call[None]:
    call = Call("DELETE", "/api/user", parsers.nothing, revokes_token=True)
    return _with_current_password(call, current_password)


def log_out() -> Call[None]:
    # A rejected token is already logged out: renewing it would create a token only to revoke it.
    return Call(
        "POST",
        "/api/user/logout",
        parsers.nothing,
        _NO_CONTENT,
        renews=False,
        revokes_token=True,
    )


def list_tokens() -> Call[tuple[TokenRecord, ...]]:
    return Call("GET", "/api/user/tokens", parsers.token_records)


def revoke_token(token_id: str, current_password: str | None) -> Call[None]:
    path = f"/api/user/tokens/{arguments.path_segment(token_id)}"
    call = Call("DELETE", path, parsers.nothing, _NO_CONTENT)
    return _with_current_password(call, current_password)


def revoke_tokens(*, keep_current: bool, current_password: str | None) -> Call[int]:
    path = "/api/user/tokens" + ("?keep_current=true" if keep_current else "")
    call = Call("DELETE", path, parsers.revoked_count, revokes_token=not keep_current)
    return _with_current_password(call, current_password)


def list_events(limit: int | None, before: str | None) -> Call[EventPage]:
    parameters: dict[str, int | bytes] = {}
    if limit is not None:
        parameters["limit"] = limit
    if before is not None:
        parameters["before"] = arguments.utf8(before)
    query = f"?{urlencode(parameters)}" if parameters else ""
    return Call("GET", f"/api/user/events{query}", parsers.event_page)


def request_verification() -> Call[None]:
    return Call("POST", "/api/user/verification", parsers.nothing, _ACCEPTED)


def confirm_verification(token: str | None, code: str | None) -> Call[User]:
    path = "/api/user/verification/confirm"
    return _json_call("POST", path, parsers.user, token=token, code=code)


def request_password_reset(email: str) -> Call[str]:
    call = _json_call("POST", "/api/user/password/reset", parsers.request_id, email=email)
    return replace(call, statuses=_ACCEPTED, auth_mode=AuthMode.ANONYMOUS)


def confirm_password_reset(
    password: str, token: str | None, code: str | None, request: str | None
) -> Call[None]:
    path = "/api/user/password/reset/confirm"
    call = _json_call(
        "POST", path, parsers.nothing, password=password, token=token, code=code, request=request
    )
    return replace(call, auth_mode=AuthMode.ANONYMOUS)


def change_email(email: str, current_password: str) -> Call[None]:
    call = _json_call(
        "POST", "/api/user/email", parsers.nothing, email=email, current_password=current_password
    )
    return replace(call, statuses=_ACCEPTED)


def confirm_email(token: str | None, code: str | None) -> Call[User]:
    return _json_call("POST", "/api/user/email/confirm", parsers.user, token=token, code=code)


def undo_email_change(token: str | None, code: str | None, request: str | None) -> Call[None]:
    path = "/api/user/email/undo"
    call = _json_call("POST", path, parsers.nothing, token=token, code=code, request=request)
    return replace(call, auth_mode=AuthMode.ANONYMOUS)


def verify() -> Call[VerifiedUser]:
    return Call("GET", "/api/verify", parsers.verified_user)


def introspect(token: Token | str) -> Call[ActiveToken | None]:
    return _token_form("/api/token/introspect", token, parsers.active_token)


def revoke(token: Token | str) -> Call[None]:
    return _token_form("/api/token/revoke", token, parsers.nothing)


def check_live() -> Call[None]:
    return Call("GET", "/health/live", parsers.nothing, auth_mode=AuthMode.ANONYMOUS)


def check_ready() -> Call[None]:
    return Call("GET", "/health/ready", parsers.nothing, auth_mode=AuthMode.ANONYMOUS)


def _token_form(path: str, token: Token | str, parse: Callable[[Response], Result]) -> Call[Result]:
    """Return a call that sends a token as a form, as RFC 7662 and RFC 7009 require."""
    return Call(
        "POST",
        path,
        parse,
        content_type="application/x-www-form-urlencoded",
        content=urlencode({"token": arguments.utf8(arguments.token_value(token))}).encode(),
        renews=False,
    )


def _json_call(
    method: str, path: str, parse: Callable[[Response], Result], **fields: str | None
) -> Call[Result]:
    """Return a call that sends all fields that are not None."""
    given = {name: value for name, value in fields.items() if value is not None}
    return Call(method, path, parse, content_type="application/json", content=_json(given))


def _with_current_password(call: Call[Result], current_password: str | None) -> Call[Result]:
    if current_password is None:
        return call
    content = _json({"current_password": current_password})
    return replace(call, content_type="application/json", content=content)


def _json(fields: Mapping[str, str | None]) -> bytes:
    # In ASCII: a lone surrogate in a name reaches the server, which rejects it.
    return json.dumps(fields).encode("ascii")

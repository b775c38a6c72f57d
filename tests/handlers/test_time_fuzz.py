"""No input within the limits holds the event loop, whatever the call."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partialmethod
from itertools import count, islice

import pytest
from tornado.escape import parse_qs_bytes
from tornado.httputil import (
    ParseBodyConfig,
    ParseUrlEncodedConfig,
    set_parse_body_config,
)

from contract.calls import Call, Guard, Response
from contract.forms import Form
from handlers import routes
from handlers.user import Registration, UserChanges
from services.clients import ClientSecret
from tests.harness.api import PASSWORD, basic, bearer
from tests.harness.configuration import settings_with
from tests.harness.databases import delete_rows
from tests.harness.held_loop import HeldLoop, watched_server
from tests.harness.hostile import (
    HEAD_BYTES,
    bodies,
    filled,
    heads,
    media_type,
    paths,
    queries,
)
from tests.harness.raw_http import JSON, chunked, raw_request
from transport import client_address
from transport.head import MAX_PARAMETERS, _Fields

# The promise is 50 ms, on a machine with two cores that may be slower than this one.
MAX_SECONDS = 0.02
TRIES = 3
STRIDE = 5
ID = "([^/]+)"
LIVE = "/health/live"
REGISTER = "/api/user/register"
NO_CALL = Call(summary="", description="", response=Response(""))
CALLS = [
    *(
        (str(path), method, call)
        for path, handler in routes
        for method, call in handler.calls.items()
    ),
    *((path, "GET", NO_CALL) for path in ("/openapi.json", "/docs", "/docs/problems.md", f"/{ID}")),
    ("/api/user", "OPTIONS", NO_CALL),
]
_numbers = count()


@dataclass(frozen=True)
class Request:
    """A request without credentials, unless ``fields`` have hostile ones."""

    method: str
    target: str
    fields: Sequence[str] = ()
    body: bytes = b""

    def by(self, credentials: Sequence[str]) -> bytes:
        """Return the bytes of the request."""
        has_own = any(field.startswith("Authorization: ") for field in self.fields)
        fields = self.fields if has_own else (*credentials, *self.fields)
        sent = raw_request(self.method, self.target, *fields, body=self.body)
        return re.sub(rb"Host: example.com\r\n((?s:.*)Host: )", rb"\1", sent)


@dataclass
class Attacker:
    """Sends hostile requests, with the credentials that a call requires."""

    server: HeldLoop
    service: ClientSecret
    _person: tuple[str, str] | None = field(default=None)

    def held(self, request: bytes) -> float:
        """Send a request; return for how many seconds it blocked the loop."""
        return self.server.send(request)[0]

    def held_again_and_again(self, request: Request, guard: Guard) -> float:
        """Send a request, again if it took long: a single delay may be the machine's."""
        for _ in range(TRIES):
            seconds = self.held(request.by(self.credentials(guard)))
            if seconds <= MAX_SECONDS:
                break
        return seconds

    def credentials(self, guard: Guard) -> list[str]:
        """Return the header fields with the credentials that a call requires there."""
        if guard in {Guard.ANYONE, Guard.LOGIN}:
            return []
        if guard is Guard.CLIENT:
            return [f"Authorization: {basic(self.service.client_id, self.service.secret)}"]
        email, token = self._new_user()
        shown = basic(email, PASSWORD) if guard is Guard.PASSWORD else bearer(token)
        return [f"Authorization: {shown}"]

    def _new_user(self) -> tuple[str, str]:
        """Return the email address and a token of a new user: a call may have deleted the last."""
        if self._person is None or not self._is_known(self._person[1]):
            email = f"susan{next(_numbers)}@example.com"
            body = json.dumps({"email": email, "password": PASSWORD}).encode()
            self.server.send(raw_request("POST", REGISTER, JSON, body=body))
            shown = f"Authorization: {basic(email, PASSWORD)}"
            received = self.server.send(raw_request("GET", "/api/user/login", shown))[1]
            self._person = email, received.partition(b'"token":"')[2].partition(b'"')[0].decode()
        return self._person

    def _is_known(self, token: str) -> bool:
        shown = f"Authorization: {bearer(token)}"
        return b" 200 " in self.server.send(raw_request("GET", "/api/user", shown))[1][:16]


@pytest.fixture(scope="module")
def attacker(postgres: str) -> Iterator[Attacker]:
    delete_rows(postgres)
    most = 1_000_000
    settings = settings_with(
        SERVER__TRUSTED_PROXIES="127.0.0.0/8,::/0",
        PASSWORDS__REFUSE_COMMON="true",
        CORS__ORIGINS="https://app.example.com",
        THROTTLE__PAIR_FAILURES=most,
        THROTTLE__ACCOUNT_FAILURES=most,
        THROTTLE__ADDRESS_FAILURES=most,
        THROTTLE__MAX_CONSECUTIVE_FAILURES=most,
    )
    with watched_server(settings, postgres) as (server, service):
        yield Attacker(server, service)


def hostile_requests(path: str, method: str, call: Call) -> Iterator[tuple[str, str, Request]]:
    """Yield requests to a call that are hostile in one part, with the part and a name."""
    usual = path.replace(ID, "00000000-0000-0000-0000-000000000000")
    for name, fields in heads().items():
        yield "head", name, Request(method, usual, fields)
    for name, query in queries(call).items():
        yield "query", name, Request(method, f"{usual}?{query}")
    for name, part in paths().items() if ID in path else ():
        yield "path", name, Request(method, path.replace(ID, part))
    kind = media_type(call.body)
    for name, body in bodies(call.body).items():
        yield "body", name, Request(method, usual, [kind], body)
    chunks = chunked(*[b" "] * 60_000)
    yield "body", "chunks", Request(method, usual, [kind, "Transfer-Encoding: chunked"], chunks)


def _new_parts() -> Iterator[object]:
    """Yield each call with new parts: those that no call before it has."""
    known: set[tuple[str, object]] = set()
    for number, (path, method, call) in enumerate(CALLS):
        kinds = {
            "head": call.guard,
            "query": call.query,
            "path": ID in path,
            "body": (call.body, call.body_is_optional),
        }
        new = {*kinds.items()} - known
        known |= new
        if new:
            parts = {part for part, _ in new}
            first = number % STRIDE
            yield pytest.param(path, method, call, parts, first, id=f"{method} {path}")


def _check(attacker: Attacker, call: Call, requests: Iterable[tuple[str, Request]]) -> None:
    held = {name: attacker.held_again_and_again(request, call.guard) for name, request in requests}
    assert not {name: seconds for name, seconds in held.items() if seconds > MAX_SECONDS}


# Every fifth request of a call: the fields of all forms get the same texts.
@pytest.mark.parametrize(("path", "method", "call", "parts", "first"), list(_new_parts()))
def test_no_part_of_a_request_holds_the_event_loop(
    attacker: Attacker, *, path: str, method: str, call: Call, parts: set[str], first: int
) -> None:
    hostile = hostile_requests(path, method, call)
    requests = ((name, request) for part, name, request in hostile if part in parts)
    _check(attacker, call, islice(requests, first, None, STRIDE))


@pytest.mark.long
@pytest.mark.parametrize(
    ("path", "method", "call"), CALLS, ids=[f"{method} {path}" for path, method, _ in CALLS]
)
def test_no_input_to_a_call_holds_the_event_loop(
    attacker: Attacker, path: str, method: str, call: Call
) -> None:
    requests = hostile_requests(path, method, call)
    _check(attacker, call, ((f"{part}: {name}", request) for part, name, request in requests))


# Each of the following tests removes a limit, and finds the loop blocked, or that the limit was
# what rejected the request.


def _with_text(**fields: str) -> bytes:
    members = {"email": "susan@example.com", "password": PASSWORD, **fields}
    body = json.dumps(members, ensure_ascii=False).encode()
    return raw_request("POST", REGISTER, JSON, body=body)


def _check_nothing(_text: str) -> None:
    pass


def _normalize_in_quadratic_time(_form: str, text: str) -> str:
    """Hold the interpreter as the normalization of early releases of Python 3.11 to 3.13 does."""
    # One call, like normalize(), so that no other thread runs meanwhile.
    re.search(".*?\0", text)
    return text


@pytest.fixture
def _without_bounds_of_text(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("rules.text_bounds.unicodedata.normalize", _normalize_in_quadratic_time)
    monkeypatch.setattr("rules.text_bounds._check_marks", _check_nothing)
    monkeypatch.setattr("rules.text_bounds.MAX_CODE_POINTS", 10**9)
    monkeypatch.setattr("rules.text_bounds.EXPANSION", 10**9)
    with monkeypatch.context() as config:
        for form in (Registration, UserChanges):
            config.setitem(form.model_config, "str_max_length", None)
            form.model_rebuild(force=True)
        yield
    for form in (Registration, UserChanges):
        form.model_rebuild(force=True)


@pytest.mark.usefixtures("_without_bounds_of_text")
@pytest.mark.parametrize("name", ["name", "password", "email"])
def test_without_limits_of_text_a_field_holds_the_loop(attacker: Attacker, name: str) -> None:
    marks = "a" + "\u0301" * 2_800 + "\u0316" * 2_800
    assert attacker.held(_with_text(**{name: marks})) > MAX_SECONDS


@pytest.mark.usefixtures("_without_bounds_of_text")
def test_without_limits_of_text_basic_holds_the_loop(attacker: Attacker) -> None:
    marks = "a" + "\u0301" * 2_800 + "\u0316" * 2_800
    shown = f"Authorization: {basic('susan@example.com', marks)}"
    assert attacker.held(raw_request("GET", "/api/user", shown)) > MAX_SECONDS


@pytest.mark.usefixtures("_without_bounds_of_text")
def test_without_a_limit_of_text_a_password_holds_the_interpreter_in_a_worker(
    attacker: Attacker,
) -> None:
    marks = "a" + "\u0301" * 2_800 + "\u0316" * 2_800
    members = {"name": "Susan", "current_password": marks}
    body = json.dumps(members, ensure_ascii=False).encode()
    fields = [*attacker.credentials(Guard.USER), JSON]
    assert attacker.held(raw_request("PATCH", "/api/user", *fields, body=body)) > MAX_SECONDS


# The following limits are tested by counting: each item takes little time, but there are thousands.


class Counted:
    """Wraps a function, and counts its calls, or the size of its arguments."""

    def __init__(
        self, function: Callable[..., object], size: Callable[..., int] = lambda *_: 1
    ) -> None:
        self._function = function
        self._size = size
        self._number = 0

    def __call__(self, *arguments: object, **named: object) -> object:
        self._number += self._size(*arguments)
        return self._function(*arguments, **named)

    def by(self, attacker: Attacker, request: bytes) -> int:
        """Return the count during a request."""
        before = self._number
        attacker.held(request)
        return self._number - before


def test_without_a_limit_of_members_all_unknown_ones_are_validated(
    attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"{" + b",".join(b'"%x":0' % number for number in range(7_000)) + b"}"
    request = raw_request("POST", REGISTER, JSON, body=body)
    validated = Counted(Registration.model_validate, len)
    monkeypatch.setattr(Registration, "model_validate", validated)
    assert 0 < validated.by(attacker, request) <= 30
    monkeypatch.setattr(Form, "_with_few_unknown", classmethod(lambda _, members: members))
    assert validated.by(attacker, request) == 7_000


def test_without_a_limit_of_header_fields_all_are_parsed(
    attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = raw_request("GET", LIVE, *(f"{number:x}:" for number in range(1_500)))
    parsed = Counted(_Fields.on_header)
    monkeypatch.setattr(_Fields, "on_header", partialmethod(parsed))
    assert parsed.by(attacker, request) == 0
    monkeypatch.setattr("transport.head.MAX_FIELDS", 10**9)
    assert parsed.by(attacker, request) >= 1_500


def test_without_a_limit_of_parameters_all_are_decoded(
    attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "a=&" * 5_000
    decoded = Counted(parse_qs_bytes, lambda text: text.count("&"))
    monkeypatch.setattr("tornado.httputil.parse_qs_bytes", decoded)
    few = query[: 3 * (MAX_PARAMETERS - 1)]
    assert decoded.by(attacker, raw_request("GET", f"{LIVE}?{few}")) == MAX_PARAMETERS - 1
    request = raw_request("GET", f"{LIVE}?{query}")
    assert decoded.by(attacker, request) == 0
    monkeypatch.setattr("transport.head.MAX_PARAMETERS", 10**9)
    _parse_parameters(10**9)
    try:
        assert decoded.by(attacker, request) == 5_000
    finally:
        _parse_parameters(MAX_PARAMETERS)


def _parse_parameters(most: int) -> None:
    set_parse_body_config(ParseBodyConfig(urlencoded=ParseUrlEncodedConfig(max_arguments=most)))


def test_without_a_limit_of_proxies_the_whole_list_is_parsed(
    attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = f"X-Forwarded-For: {filled('', '::1,', HEAD_BYTES)}::1"
    request = raw_request("GET", "/api/user", addresses, f"Authorization: {basic('a@b.c', 'd')}")
    read = Counted(client_address._parse_entry)  # noqa: SLF001 - the work that is bounded
    monkeypatch.setattr("transport.client_address._parse_entry", read)
    # A hundred entries, for each of the few times that the address of a request is read.
    assert 0 < read.by(attacker, request) <= 1_000
    monkeypatch.setattr("transport.client_address._MAX_PROXIES", 10**9)
    assert read.by(attacker, request) > 5_000

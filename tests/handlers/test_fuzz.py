"""Generated credentials and bodies: rejected, never a 500."""

import base64
import json
from functools import partial

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from tornado.ioloop import IOLoop

from tests.harness.api import Api, bearer, check_invariants
from tests.harness.configuration import ROOT, override_settings
from tests.harness.raw_http import exchange, parse_answer

# Hypothesis stores its tables of characters in the directory of this project's data.
set_hypothesis_home_dir(ROOT / "var" / "hypothesis")

# The largest accepted head: see transport/server.py.
HEAD_BYTES = 16 * 1024
ACCEPTED = {200, 201, 400, 409, 415, 422, 429}
# Wrong credentials are sent many times.
unbounded = override_settings(
    THROTTLE__PAIR_FAILURES=1_000_000,
    THROTTLE__ACCOUNT_FAILURES=1_000_000,
    THROTTLE__ADDRESS_FAILURES=1_000_000,
    THROTTLE__MAX_CONSECUTIVE_FAILURES=1_000_000,
)


def fuzzed(examples: int) -> settings:
    """Return the settings of Hypothesis: the same examples in each run, on one server."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


any_text = st.text(st.characters(codec=None, exclude_categories=[]), max_size=60).map(encoded)
login = st.sampled_from([b"susan@example.com", b"SUSAN@EXAMPLE.COM", b"a" * 300, b"", b"0a", b"@"])
pair = st.tuples(login | any_text, st.just(b":"), any_text | st.binary(max_size=80)).map(b"".join)
in_base64 = (pair | any_text | st.binary(max_size=200)).map(base64.b64encode)
token = st.from_regex(r"[A-Za-z0-9_-]{1,40}(\.[A-Za-z0-9_-]{0,40}){0,4}", fullmatch=True).map(
    encoded
)
huge = st.tuples(st.binary(min_size=1, max_size=8), st.integers(1, 3000)).map(
    lambda parts: parts[0] * parts[1]
)
schemes = [
    b"Basic ",
    b"basic  ",
    b"BASIC\t",
    b"Basic",
    b"Bearer ",
    b"Bearer",
    b"Digest ",
    b"",
    b" ",
]
authorizations = st.tuples(
    st.sampled_from(schemes),
    st.one_of(in_base64, in_base64.map(base64.b64decode), token, any_text, st.binary(), huge),
    st.sampled_from([b"", b"", b" ", b"=", b":", b", Basic eDp5"]),
).map(b"".join)


guarded = pytest.mark.parametrize("path", ["/api/user", "/api/user/login"])


@unbounded
@fuzzed(30)
@guarded
@given(value=authorizations)
@example(value=b"Basic \r\n\r\n")
def test_any_authorization_is_rejected(api: Api, io_loop: IOLoop, path: str, value: bytes) -> None:
    expect_rejection(api, io_loop, path, value)


@pytest.mark.long
@unbounded
@fuzzed(500)
@guarded
@given(value=authorizations)
def test_each_of_many_authorizations_is_rejected(
    api: Api, io_loop: IOLoop, path: str, value: bytes
) -> None:
    expect_rejection(api, io_loop, path, value)


def expect_rejection(api: Api, io_loop: IOLoop, path: str, value: bytes) -> None:
    head = b"GET %b HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\nConnection: close\r\n\r\n"
    sent = head % (path.encode(), value)

    async def use() -> None:
        received = await exchange(api, sent)
        # A head that is too large gets no response.
        assert received or len(sent) > HEAD_BYTES
        while received:
            answer, received = parse_answer(received, "GET")
            if answer.content:
                # 431 for a value whose line breaks make more than 100 fields of it.
                assert answer.status in {400, 401, 431}
                check_invariants(answer, method="GET")
            else:
                # What follows a line break is not HTTP: the response has no content.
                framing = {"Connection": "close", "Content-Length": "0"}
                assert (answer.status, dict(answer.headers), received) == (400, framing, b"")

    io_loop.run_sync(use)


# With lone surrogates and NUL, which JSON can express and Postgres cannot.
wild_text = st.text(st.characters(codec=None, exclude_categories=[]), max_size=80)
emails = st.one_of(st.emails(), st.builds("{}@{}.com".format, wild_text, wild_text), wild_text)
long_text = st.integers(0, 2000).map("ä".__mul__)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), wild_text, long_text)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(wild_text, inner, max_size=4),
    max_leaves=12,
)
texts = st.one_of(emails, wild_text, long_text, st.text(min_size=8, max_size=20))
fields = st.fixed_dictionaries(
    {},
    optional={
        "email": emails,
        "password": texts,
        "name": st.none() | texts,
        "current_password": texts,
    },
)
registrations = st.fixed_dictionaries(
    {"email": emails, "password": st.text(min_size=8, max_size=20) | texts},
    optional={"name": st.none() | texts},
)
unknown = st.dictionaries(wild_text, values, max_size=3)
documents = st.one_of(
    fields, registrations, values, st.builds(lambda one, two: {**one, **two}, fields, unknown)
)


def in_json(document: object) -> bytes:
    # Python writes NaN, which is not JSON, and is sent like the rest.
    return json.dumps(document).encode()


deep = st.integers(1, 20_000).map(lambda depth: b"[" * depth + b"]" * depth)
numbers = st.integers(1, 60_000).map(lambda digits: b'{"email": ' + b"9" * digits + b"}")
bodies = st.one_of(
    documents.map(in_json),
    documents.map(in_json),
    st.binary(max_size=300),
    st.tuples(documents.map(in_json), st.binary(max_size=4)).map(b"".join),
    st.tuples(documents.map(in_json), st.integers(1, 40)).map(lambda cut: cut[0][: -cut[1]]),
    deep,
    numbers,
)
media_types = st.sampled_from(
    ["application/json"] * 8
    + ["Application/JSON; charset=latin1", "text/plain", "application/x-www-form-urlencoded", "/"]
)


@pytest.fixture
def token_of_susan(api: Api, io_loop: IOLoop) -> str:
    return str(io_loop.run_sync(api.registered_token))


with_a_body = pytest.mark.parametrize(
    "call", ["POST /api/user/register", "PATCH /api/user", "POST /api/user/login"]
)


@unbounded
@fuzzed(40)
@with_a_body
@given(body=bodies, media_type=media_types)
def test_any_body_is_accepted_or_rejected(
    api: Api, io_loop: IOLoop, token_of_susan: str, *, call: str, body: bytes, media_type: str
) -> None:
    io_loop.run_sync(partial(send_body, api, token_of_susan, call, body, media_type))


@pytest.mark.long
@unbounded
@fuzzed(600)
@with_a_body
@given(body=bodies, media_type=media_types)
def test_each_of_many_bodies_is_accepted_or_rejected(
    api: Api, io_loop: IOLoop, token_of_susan: str, *, call: str, body: bytes, media_type: str
) -> None:
    io_loop.run_sync(partial(send_body, api, token_of_susan, call, body, media_type))


async def send_body(api: Api, token: str, call: str, body: bytes, media_type: str) -> None:
    method, path = call.split()
    # Its credentials are in the body.
    is_login = path == "/api/user/login"
    answer = await api.request(
        method,
        path,
        authorization=None if is_login else bearer(token),
        body=body,
        headers={"Content-Type": media_type},
    )
    assert answer.status in (ACCEPTED | {401} if is_login else ACCEPTED)

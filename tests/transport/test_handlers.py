"""What a handler sends and reads: respond() is the one way, and what cannot work says so."""

import inspect
import re
from collections.abc import Callable

import pytest
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.web import RequestHandler

from tests.harness.memory_transport import EchoApplication, EchoHandler, answer_in_parts
from tests.harness.raw_http import raw_request
from transport.response import Fields

# What Tornado keeps of a response that is filled step by step.
_BUFFERED = re.compile(r"self\._(?:headers|write_buffer|new_cookie)\b")
# They work without: the first two are overridden, and the last responds with the others.
_USABLE = {"clear", "finish", "send_error"}
UNUSABLE = sorted(
    name
    for name, method in vars(RequestHandler).items()
    if not name.startswith("_")
    and name not in _USABLE
    and inspect.isfunction(method)
    and _BUFFERED.search(inspect.getsource(method))
)
ON_TOP_OF_THEM = (
    *("render", "redirect", "clear_cookie", "clear_all_cookies", "set_signed_cookie"),
    *("check_etag_header", "set_etag_header", "set_secure_cookie"),
)
OF_BODIES = ("get_argument", "get_arguments", "get_body_argument", "get_body_arguments")


class WorkingApplication(EchoApplication):
    """An application whose handlers do what a test wants."""

    def __init__(self, work: Callable[["WorkingHandler"], None]) -> None:
        super().__init__()
        self.work = work

    def delegate_of(self, request: HTTPServerRequest) -> HTTPMessageDelegate:
        """Return the delegate that runs the handler of a request."""
        return self.get_handler_delegate(request, WorkingHandler)


class WorkingHandler(EchoHandler):
    application: WorkingApplication

    def prepare(self) -> None:
        self.application.work(self)


async def responses(work: Callable[[WorkingHandler], None], *requests: bytes) -> bytes:
    sent, _ = await answer_in_parts(WorkingApplication(work), [b"".join(requests)])
    return sent


@pytest.mark.gen_test
async def test_a_page_has_its_type_and_several_cookies_and_a_redirect_its_location() -> None:
    fields = (
        ("Content-Type", "text/html; charset=UTF-8"),
        ("Set-Cookie", "a=1; Path=/; HttpOnly"),
        ("Set-Cookie", "b=2"),
        ("Location", "/account"),
        ("X-Custom", "value"),
    )
    sent = await responses(
        lambda handler: handler.respond(303, fields, b"<p>See /account"), raw_request("GET", "/")
    )
    head, _, content = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 303 See Other\r\n")
    lines = head.decode().split("\r\n")
    assert [f"{name}: {value}" for name, value in fields] == [
        line for line in lines if line.startswith(("Content-Type", "Set-", "Location", "X-Custom"))
    ]
    assert f"Content-Length: {len(content)}" in lines
    assert content == b"<p>See /account"


LARGE = 100 * 1024  # is written without a copy
LOOKS_LIKE_ONE = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize("body", [LOOKS_LIKE_ONE, LOOKS_LIKE_ONE * LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("method", "status"), [("GET", 204), ("GET", 304), ("HEAD", 200), ("HEAD", 404)]
)
@pytest.mark.gen_test
async def test_a_response_that_has_no_body_is_sent_without_the_one_it_was_given(
    method: str, status: int, body: bytes
) -> None:
    request = raw_request(method, "/")
    sent = await responses(lambda handler: handler.respond(status, (), body), request, request)
    first, second, rest = sent.split(b"\r\n\r\n")
    for head in (first, second):
        assert head.startswith(b"HTTP/1.1 %d " % status)
        # A response to HEAD has the length of the one to GET.
        has_length = b"\r\nContent-Length: %d\r\n" % len(body) in head + b"\r\n"
        assert (has_length, b"Content-Length" in head) == (method == "HEAD", method == "HEAD")
    assert rest == b""


@pytest.mark.parametrize("status", [100, 101, 103])
@pytest.mark.gen_test
async def test_an_interim_status_is_500_and_not_sent(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    request = raw_request("GET", "/")
    sent = await responses(lambda handler: handler.respond(status, (), b"body"), request, request)
    first, second, rest = sent.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 500 ")
    assert second.startswith(b"HTTP/1.1 500 ")
    assert rest == b""
    caplog.clear()


CONTROLS = [chr(code) for code in (*range(0x20), 0x7F) if chr(code) != "\t"]
UNSAFE: list[Fields] = [
    (("X", "a\r\nSet-Cookie: b"),),
    (("X", "a\nSet-Cookie: b"),),
    *((("X", f"a{control}b"),) for control in CONTROLS),
    (("X\r\nSet-Cookie", "b"),),
    (("X\n", "b"),),
    *((("A", "b"), (f"X{control}", "b")) for control in CONTROLS),
    (("X", "a\n\rb"), ("X", "")),
    (("X", "\u2028"),),
]


@pytest.mark.parametrize("fields", UNSAFE)
@pytest.mark.gen_test
async def test_a_field_with_a_line_break_or_another_control_character_is_500_and_not_sent(
    fields: Fields, caplog: pytest.LogCaptureFixture
) -> None:
    sent = await responses(
        lambda handler: handler.respond(200, fields, b"body"), raw_request("GET", "/")
    )
    assert sent.startswith(b"HTTP/1.1 500 ")
    assert sent.count(b"HTTP/1.1 ") == 1
    for part in (b"Set-Cookie", b"body", b"X:", b"X\0", b"\n\r\n\r"):
        assert part not in sent
    caplog.clear()


@pytest.mark.gen_test
async def test_a_field_with_a_tab_or_letters_of_latin_1_is_sent() -> None:
    fields = (("X-Custom", "a\tb\xe9"),)
    sent = await responses(lambda handler: handler.respond(200, fields), raw_request("GET", "/"))
    assert b"\r\nX-Custom: a\tb\xe9\r\n" in sent


@pytest.mark.parametrize("name", [*UNUSABLE, *ON_TOP_OF_THEM])
@pytest.mark.gen_test
async def test_a_method_that_fills_a_response_step_by_step_names_respond(name: str) -> None:
    def work(handler: WorkingHandler) -> None:
        with pytest.raises(NotImplementedError, match=r"ResponseHandler\.respond\(\)"):
            getattr(handler, name)("a", "b")
        handler.respond(200, ())

    assert (await responses(work, raw_request("GET", "/"))).startswith(b"HTTP/1.1 200 ")


def test_the_methods_that_fill_a_response_are_found() -> None:
    assert {"write", "flush", "set_header", "add_header", "set_cookie"} < {*UNUSABLE}


@pytest.mark.gen_test
async def test_finish_responds_without_a_body_alone() -> None:
    def work(handler: WorkingHandler) -> None:
        with pytest.raises(NotImplementedError, match=r"respond\(\)"):
            handler.finish(b"chunk")
        handler.finish()

    assert (await responses(work, raw_request("GET", "/"))).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("name", OF_BODIES)
@pytest.mark.gen_test
async def test_a_method_that_reads_a_body_names_forms_and_what_reads_the_query_instead(
    name: str,
) -> None:
    def work(handler: WorkingHandler) -> None:
        with pytest.raises(NotImplementedError, match="UrlEncodedForm") as caught:
            getattr(handler, name)("a")
        instead = f"{name.replace('get_', 'get_query_')}()"
        assert (instead in str(caught.value)) is ("body" not in name)
        assert handler.get_query_argument("a") == "b"
        assert handler.request.body == b"a=b"
        handler.respond(200, ())

    request = raw_request("POST", "/?a=b", body=b"a=b")
    assert (await responses(work, request)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/", "/?a=b"])
@pytest.mark.gen_test
async def test_cookies_are_read(path: str) -> None:
    found: list[object] = []

    def work(handler: WorkingHandler) -> None:
        cookies = handler.request.cookies
        found.append({name: cookie.value for name, cookie in cookies.items()})
        found.append([handler.get_cookie(f"userauth-{name}") for name in "ac"])
        handler.respond(200, ())

    cookies = "Cookie: userauth-a=1; b=2; userauth-b=3"
    await responses(work, raw_request("GET", path, cookies), raw_request("GET", path))
    assert found == [
        {"userauth-a": "1", "userauth-b": "3"},
        ["1", None],
        {},
        [None, None],
    ]


@pytest.mark.parametrize("space", [b"\xa0", b"\x85", b"\xc2\xa0", b"\xe3\x80\x80"])
@pytest.mark.gen_test
async def test_a_cookie_whose_name_begins_with_another_white_space_is_another_one(
    space: bytes,
) -> None:
    found: list[object] = []

    def work(handler: WorkingHandler) -> None:
        found.append(handler.get_cookie("__Host-userauth"))
        handler.respond(200, ())

    cookies = "Cookie: __Host-userauth=own; ?__Host-userauth=planted"
    await responses(work, raw_request("GET", "/", cookies).replace(b"?", space))
    assert found == ["own"]


@pytest.mark.parametrize(
    ("cookies", "found"),
    [
        ("userauth=1; userauth=2", {"userauth": ""}),
        ("userauth=1; userauth=1", {"userauth": ""}),
        ("userauth=1;userauth=2;\tuserauth =3 ; userauth-b=4", {"userauth": "", "userauth-b": "4"}),
        ("Auserauth=1; auserauth=2", {"Auserauth": "1", "auserauth": "2"}),
        # Values without a name.
        ("userauth; userauth-b=1; userauth-b", {"userauth-b": "1"}),
        ("=userauth; userauth=1", {"userauth": "1"}),
        # Names that no cookie of the server has.
        ("a userauth=1; path=/; a=1; userauth=a=b", {"userauth": "a=b"}),
        ("", {}),
    ],
)
@pytest.mark.gen_test
async def test_a_cookie_of_the_server_that_occurs_twice_is_empty(
    cookies: str, found: dict[str, str]
) -> None:
    read = []

    def work(handler: WorkingHandler) -> None:
        cookies = handler.request.cookies
        read.append({name: cookie.value for name, cookie in cookies.items()})
        handler.respond(200, ())

    await responses(work, raw_request("GET", "/", f"Cookie: {cookies}"))
    assert read == [found]

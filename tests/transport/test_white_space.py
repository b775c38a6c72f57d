"""White space in header fields is the space and the tab alone (RFC 9110, section 5.6.3).

Python counts U+0085, U+00A0 and others as white space, also in fields decoded as Latin-1. Code that
reads a field in another way than browsers and proxies do can be deceived by them.
"""

import ast
from collections.abc import Callable, Iterator

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from handlers.static_documents import StaticDocument
from rules.credentials import decode_authorization
from rules.errors import CredentialsInvalid, CrossSiteRequest
from tests.harness.configuration import ROOT
from transport.browsers import is_from_script, prefers_html
from transport.client_address import ClientAddresses, claims_https
from transport.cors import CrossOrigin, is_from_another_origin
from transport.forward_auth import SignInRedirects
from transport.head import parse_head
from transport.languages import find_language

# Whatever reads header fields.
READERS = (
    *("transport", "handlers", "pages"),
    *("rules/credentials.py", "rules/ip_addresses.py", "ops/trace_context.py"),
)
# Without arguments they count more than ASCII, or more than two characters of it.
WIDE = frozenset({"strip", "lstrip", "rstrip", "split", "rsplit"})
# They have no narrow form; of them, the latter make ASCII of a character of Latin-1.
NEVER = frozenset({"splitlines", "isspace", "casefold", "upper"})
# Each of them is white space for str.strip(), and may be in the value of a field.
SPACES = [chr(code) for code in range(0x80, 0x100) if not chr(code).strip()]


def wide_calls(source: str) -> Iterator[str]:
    """Return the methods in a module that count more than space and tab as white space."""
    tree = ast.parse(source)
    narrow = {
        node.func
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.args
        and not (isinstance(node.args[0], ast.Constant) and node.args[0].value is None)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (
            node.attr in NEVER or (node.attr in WIDE and node not in narrow)
        ):
            yield f"{node.lineno}: {node.attr}"


def test_what_reads_fields_removes_no_other_white_space() -> None:
    paths = [ROOT / name for name in READERS]
    files = [file for path in paths for file in ([path] if path.is_file() else path.glob("*.py"))]
    assert len(files) > 70
    faults = {
        file.relative_to(ROOT).as_posix(): found
        for file in files
        if (found := list(wide_calls(file.read_text("utf-8"))))
    }
    assert faults == {}


@pytest.mark.parametrize(
    "source",
    [
        "value.strip()",
        "value.split()",
        "value.split(None, 1)",
        "map(str.strip, value)",
        "value.rstrip().lower()",
        "value.splitlines()",
        "value.isspace()",
        "value.casefold()",
    ],
)
def test_a_wide_method_is_found(source: str) -> None:
    assert list(wide_calls(source))
    assert not list(wide_calls('value.strip(" \\t").lower().split(";")'))


def test_lower_case_makes_no_ascii_of_other_characters_in_a_field() -> None:
    others = [chr(code) for code in range(0x80, 0x100)]
    assert not [each for each in others if each.lower().isascii()]


def test_the_spaces_of_python_are_known() -> None:
    assert SPACES == ["\x85", "\xa0"]


def request_with(name: str, value: str) -> HTTPServerRequest:
    headers = HTTPHeaders({"Host": "example.com", name: value})
    return HTTPServerRequest(
        start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=headers, connection=None
    )


def is_decoded(value: str) -> bool:
    try:
        return decode_authorization(value) is not None
    except CredentialsInvalid:
        return False


def has_basic_from_elsewhere(value: str) -> bool:
    request = request_with("Authorization", value)
    request.headers["Sec-Fetch-Site"] = "cross-site"
    try:
        CrossOrigin(()).check(request)
    except CrossSiteRequest:
        return True
    return False


def redirects(name: str, value: str) -> bool:
    """Return whether a browser is redirected, with one of the fields of the proxy replaced."""
    fields = {"Accept": "text/html", "X-Forwarded-Method": "GET"}
    fields |= {"X-Forwarded-Host": "example.com", "X-Forwarded-Uri": "/", name: value}
    return bool(SignInRedirects("https://example.com").find_location(HTTPHeaders(fields)))


def allowed(name: str) -> bool:
    """Return whether a preflight request for a field is allowed it."""
    request = request_with("Access-Control-Request-Headers", name)
    request.headers["Access-Control-Request-Method"] = "GET"
    fields = dict(CrossOrigin(("*",)).preflight_fields(request, "GET"))
    return name.strip() in fields["Access-Control-Allow-Headers"]


def stays_open(value: str) -> bool:
    head = parse_head(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: a,%b\r\n\r\n" % value.encode("latin-1")
    )
    assert head is not None
    return head.keeps_open


def address_behind_proxy(value: str) -> bool:
    request = request_with("X-Forwarded-For", value)
    request.remote_ip = "10.0.0.1"
    return ClientAddresses(["10.0.0.0/8"]).of(request) == "192.0.2.1"


READINGS: list[tuple[Callable[[str], object], str]] = [
    (is_decoded, "Basic YTpi"),
    (has_basic_from_elsewhere, "basic"),
    (lambda value: prefers_html(HTTPHeaders({"Accept": value})), "text/html"),
    (lambda value: not is_from_script(HTTPHeaders({"Sec-Fetch-Mode": value})), "navigate"),
    (
        lambda value: not is_from_another_origin(HTTPHeaders({"Sec-Fetch-Site": value})),
        "same-origin",
    ),
    (lambda value: find_language(HTTPHeaders({"Accept-Language": value}), {"de"}), "de"),
    (lambda value: claims_https(request_with("X-Forwarded-Proto", value)), "https"),
    (address_behind_proxy, "192.0.2.1"),
    (lambda value: redirects("X-Forwarded-Method", value), "GET"),
    (lambda value: redirects("X-Forwarded-Host", value), "example.com"),
    (allowed, "x-field"),
    (lambda value: not stays_open(value), "close"),
    (StaticDocument(b"", "text/plain", '"tag"').matches, "*"),
]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("reads", "value"), READINGS, ids=[value for _, value in READINGS])
def test_a_field_with_other_white_space_has_another_value(
    reads: Callable[[str], object], value: str, space: str
) -> None:
    assert reads(value)
    assert not reads(f"{space}{value}")
    assert not reads(f"{value}{space}")

"""The path to return to after a sign-in."""

import pytest

from rules.return_path import MAX_LENGTH, find_return_path, read_return_path, without_return_path

# What a link of an attacker may contain, so that a browser leaves this host.
OPEN_REDIRECTS = [
    "",
    "//evil.example",
    "///evil.example",
    "////evil.example/%2f..",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/a\\..\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/ /evil.example",
    "/\x00/evil.example",
    "/\x7f/evil.example",
    "/\x85/evil.example",
    "/\u2028/evil.example",
    "/\uff0fevil.example",
    "\uff0f\uff0fevil.example",
    "https://evil.example",
    "HTTPS:evil.example",
    "https:/evil.example",
    "http:evil.example",
    "javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "@evil.example",
    ":evil.example",
    "?//evil.example",
    "#//evil.example",
    "%2f%2fevil.example",
    "/a\r\nLocation: https://evil.example",
    "/" + MAX_LENGTH * "a",
]
VALID = ["/", "/a", "/a/b?c=d&e=/f", "/a%20b", "/a?next=//evil.example", "/:80/@x", "/%2f%2fx"]
VALID += ["/list?path=C:%5Cx\\y", "/?\\", "/a?b=\\\\evil.example"]


@pytest.mark.parametrize("text", OPEN_REDIRECTS)
def test_what_may_lead_to_another_host_is_not_returned(text: str) -> None:
    assert read_return_path(text) is None
    assert find_return_path("next=" + text) is None


@pytest.mark.parametrize("text", OPEN_REDIRECTS)
def test_what_leads_to_another_host_once_decoded_is_not_returned(text: str) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in text.encode())
    assert find_return_path(f"next={encoded}") is None


@pytest.mark.parametrize("text", VALID)
def test_a_path_with_a_query_is_returned_as_it_is(text: str) -> None:
    assert read_return_path(text) == text
    assert find_return_path(f"a=b&next={text}") == text


@pytest.mark.parametrize(
    ("query", "own"),
    [
        ("next=/list?x=1&done=reset", ""),
        ("request=a&next=/list?x=1&request=b", "request=a"),
        ("next=%2Flist&done=reset", "next=%2Flist&done=reset"),
        ("anext=/a&done=reset", "anext=/a&done=reset"),
        ("done=reset", "done=reset"),
    ],
)
def test_the_query_of_an_appended_path_is_not_that_of_the_page(query: str, own: str) -> None:
    assert without_return_path(query) == own


def test_a_path_that_begins_encoded_is_decoded_once_and_ends_at_the_next_parameter() -> None:
    assert find_return_path("next=%2Fa%3Fb%3Dc%2520d%26e&f=g") == "/a?b=c%20d&e"


def test_a_path_that_begins_with_a_slash_ends_with_the_query() -> None:
    assert find_return_path("next=/a?b=c%20d&e=f") == "/a?b=c%20d&e=f"


@pytest.mark.parametrize("query", ["", "nextt=/a", "xnext=/a", "next", "next=%ff", "next=%2Fa%C3"])
def test_a_query_without_a_valid_path_has_none(query: str) -> None:
    assert find_return_path(query) is None


@pytest.mark.parametrize("text", ["/auth/sign-out", "/auth/sign-out?a", "/auth/sign-out#a"])
def test_the_sign_out_is_no_path_to_return_to(text: str) -> None:
    assert read_return_path(text) is None


def test_the_longest_path_is_returned() -> None:
    longest = "/" + (MAX_LENGTH - 1) * "a"
    assert read_return_path(longest) == longest

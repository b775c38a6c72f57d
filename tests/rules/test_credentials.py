"""The Authorization header, decoded."""

import base64

import pytest

from rules.credentials import PasswordCredentials, TokenCredentials, decode_authorization
from rules.errors import CredentialsInvalid, TokenInvalid
from tests.harness.api import basic

TOKEN = "0123456789abcdef0123456789abcdef.1800000000.c2lnbmF0dXJl-_"


def test_a_missing_header_has_no_credentials() -> None:
    assert decode_authorization(None) is None


@pytest.mark.parametrize("header", ["", "Digest username=x", "Negotiate abc", "token abc"])
def test_an_unsupported_scheme_has_no_credentials(header: str) -> None:
    assert decode_authorization(header) is None


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_basic_is_read_whatever_the_case_of_the_scheme(scheme: str) -> None:
    header = basic("susan@example.com", "secret").replace("Basic", scheme)
    assert decode_authorization(header) == PasswordCredentials("susan@example.com", "secret")


def test_a_password_may_contain_colons() -> None:
    header = basic("susan@example.com", "a:b::c")
    assert decode_authorization(header) == PasswordCredentials("susan@example.com", "a:b::c")


def test_basic_is_utf_8() -> None:
    header = basic("sörén@example.com", "grüße😀")
    assert decode_authorization(header) == PasswordCredentials("sörén@example.com", "grüße😀")


@pytest.mark.parametrize(
    "header",
    [
        basic(TOKEN, ""),
        basic(TOKEN, "anything:at all"),
        basic(TOKEN),
        f"Basic {TOKEN}",
        f"Basic   {TOKEN}  ",
        f"Bearer {TOKEN}",
        f"bearer {TOKEN}",
    ],
)
def test_a_token_is_read_in_each_of_its_forms(header: str) -> None:
    assert decode_authorization(header) == TokenCredentials(TOKEN)


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YWJj*",
        "Basic YWJ",
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        # A surrogate, which could not be encoded again to be hashed.
        "Basic " + base64.b64encode(b"susan@example.com:secret\xed\xa0\x80").decode(),
        basic("no-colon@example.com"),
        basic("susan@example.com", "a\x00b"),
        basic("susan@example.com\n", "secret"),
        basic("susan@example.com", "tab\tinside"),
        "Basic c3VzYW46Yg==,Basic c3VzYW46Yg==",
    ],
)
def test_malformed_basic_is_rejected(header: str) -> None:
    with pytest.raises(CredentialsInvalid):
        decode_authorization(header)


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer abc", "Bearer a b", "Bearer a.b,c", "Bearer .", "Bearer é.é"],
)
def test_malformed_bearer_is_rejected(header: str) -> None:
    with pytest.raises(TokenInvalid):
        decode_authorization(header)


def test_secrets_are_not_in_the_representation() -> None:
    for header in (basic("susan@example.com", "open sesame"), f"Bearer {TOKEN}"):
        shown = repr(decode_authorization(header))
        assert "sesame" not in shown
        assert TOKEN not in shown

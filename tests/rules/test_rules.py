"""Which email addresses, names and passwords are accepted."""

import unicodedata

import pytest

from rules.emails import email_key, lookup_key, normalize_email
from rules.names import normalize_name
from rules.password_rules import PasswordRules

LENIENT = PasswordRules(min_length=8, refuse_common=False, service_words=())
STRICT = PasswordRules(min_length=8, refuse_common=True, service_words=())
OWN = ("susan.miller@example.com", "Susan Miller-Jones")


def test_text_that_is_too_long_for_an_address_has_the_empty_key() -> None:
    assert lookup_key("x" * 245 + "@susan.com") == ""
    assert lookup_key("x" * 244 + "@susan.com") != ""


@pytest.mark.parametrize(
    ("typed", "normalized"),
    [
        ("susan@example.com", "susan@example.com"),
        ("Susan@EXAMPLE.com", "Susan@example.com"),
        ("su.san+tag@example.co.uk", "su.san+tag@example.co.uk"),
        ("sörén@exämple.com", "sörén@exämple.com"),
        ("susan@xn--exmple-cua.com", "susan@exämple.com"),
        (" susan@example.com", "susan@example.com"),
        ("\u00a0susan@example.com\t\n", "susan@example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_address_is_normalized(typed: str, normalized: str) -> None:
    assert normalize_email(typed) == normalized


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "susan",
        "@example.com",
        "susan@",
        "susan@example",
        "a b@example.com",
        "susan @example.com",
        "a" * 65 + "@example.com",
        "ä" * 33 + "@example.com",
        "susan@@example.com",
        "susan\x00@example.com",
        ".susan@example.com",
        "a@" + "b" * 63 + "." + "c" * 63 + "." + "d" * 63 + "." + "e" * 63 + ".com",
        "susan@[127.0.0.1]",
    ],
)
def test_text_that_is_not_an_address_is_rejected(typed: str) -> None:
    with pytest.raises(ValueError, match=r"must be an email address"):
        normalize_email(typed)


@pytest.mark.parametrize(
    "address",
    ["su@corp.local", "su@x.home.arpa", "su@example.test", "su@localhost", "su@cörp.local"],
)
def test_an_address_of_an_internal_domain_is_accepted_only_where_the_setting_allows_it(
    address: str,
) -> None:
    assert normalize_email(address.upper(), allow_internal=True) == "SU" + address[2:]
    with pytest.raises(ValueError, match=r"of a public domain$"):
        normalize_email(address)
    # Whatever the setting is by now, the user can log in.
    assert lookup_key(f" {address.upper()} ") == address


def test_an_internal_domain_has_the_syntax_of_a_public_one() -> None:
    for address in ("su@mailhost", "su@-x.local", "su@..local", "su@.local", "@localhost", "@"):
        with pytest.raises(ValueError, match="must be an email address, such as"):
            normalize_email(address, allow_internal=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (" susan@example.com\t", "susan@example.com"),
        ("SUSAN@example.com", "susan@EXAMPLE.COM"),
        ("SÖRÉN@example.com", "sörén@example.com"),
        ("ΟΔΟΣ@example.com", "οδοσ@example.com"),
    ],
)
def test_addresses_that_differ_in_case_share_one_key(one: str, other: str) -> None:
    assert email_key(normalize_email(one)) == email_key(normalize_email(other))
    assert lookup_key(one) == lookup_key(other)


def test_text_that_is_not_an_address_can_still_be_looked_up() -> None:
    assert lookup_key("NO ADDRESS") == "no address"


@pytest.mark.parametrize(
    ("typed", "normalized"),
    [
        ("Susan", "Susan"),
        ("  Susan Miller\t\n", "Susan Miller"),
        ("\u3000\u00a0Susan\u2003", "Susan"),
        (unicodedata.normalize("NFD", "Zoë"), "Zoë"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("x" * 200, "x" * 200),
        (" " * 300 + "x", "x"),
    ],
)
def test_a_name_is_trimmed_and_composed(typed: str, normalized: str) -> None:
    assert normalize_name(typed) == normalized


@pytest.mark.parametrize(
    "typed", ["", "   ", "\u2003", "x" * 201, "a\x00b", "a\nb", "a\u2028b", "a\x7fb"]
)
def test_a_name_that_is_empty_long_or_has_control_characters_is_rejected(typed: str) -> None:
    with pytest.raises(ValueError, match="must"):
        normalize_name(typed)


@pytest.mark.parametrize(
    "password", ["12345678", "password", "ä" * 8, "x" * 1024, "with spaces ok", "😀" * 8]
)
def test_a_password_of_the_right_length_is_accepted(password: str) -> None:
    LENIENT.check(password, own_words=OWN)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "1234567",
        "x" * 1025,
        unicodedata.normalize("NFD", "ä" * 7),
        "with\x00null",
        "with\nline",
        "x" * 8 + "\x7f",
    ],
)
def test_a_password_of_the_wrong_length_or_with_control_characters_is_rejected(
    password: str,
) -> None:
    with pytest.raises(ValueError, match="must"):
        LENIENT.check(password, own_words=OWN)


def test_length_is_counted_after_composition() -> None:
    LENIENT.check(unicodedata.normalize("NFD", "ä" * 1024), own_words=OWN)


@pytest.mark.parametrize(
    "password", ["password", "Password1", "QWERTYUIOP", "iloveyou", "trustno1"]
)
def test_a_common_password_is_rejected_by_the_strict_rules(password: str) -> None:
    with pytest.raises(ValueError, match="common"):
        STRICT.check(password, own_words=OWN)


@pytest.mark.parametrize(
    "password",
    [
        "susan.miller@example.com",
        "SusanMiller",
        "millersusan2024!",
        "susan-jones-123",
        "12345susan",
        "Example.com1",
    ],
)
def test_a_password_made_of_the_users_own_address_or_name_is_rejected(password: str) -> None:
    with pytest.raises(ValueError, match="your own"):
        STRICT.check(password, own_words=OWN)


@pytest.mark.parametrize("password", ["correct horse battery", "susan likes horses", "7f!Kq92_xZ"])
def test_a_strong_password_is_accepted(password: str) -> None:
    STRICT.check(password, own_words=OWN)


def test_a_short_name_does_not_affect_a_password() -> None:
    STRICT.check("bonanza-yield", own_words=("bo@an.de", "Bo"))

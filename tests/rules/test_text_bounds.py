"""Bounds on the length and the combining marks of text, checked before it is normalized."""

import re
import sys
import unicodedata
from itertools import groupby
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.credentials import decode_authorization
from rules.emails import normalize_email
from rules.errors import CredentialsInvalid
from rules.names import REJECTED, normalize_name
from rules.password_rules import PasswordRules
from rules.text_bounds import EXPANSION, MAX_CODE_POINTS, MAX_LENGTH, MAX_MARKS, check_text, nfc
from tests.harness.api import basic
from tests.harness.configuration import ROOT, SOURCE_PATHS

RULES = PasswordRules(min_length=8, refuse_common=True, service_words=("userauth",))
# Its decomposition has four code points.
EXPANDING = "\u1f82"
# A letter by its category, and two marks by its decomposition.
MADE_OF_MARKS = "\u0f73"
texts = st.text(st.sampled_from("ab\u0301\u0316\u0344\u1f82\u0f73\u0390é가\ufdfa"), max_size=60)


def longest_run(text: str) -> int:
    """Return the longest run of non-starters by the definition of UAX #15."""
    decomposed = unicodedata.normalize("NFKD", text)
    runs = groupby(decomposed, key=lambda character: unicodedata.combining(character) > 0)
    return max((len(list(run)) for is_mark, run in runs if is_mark), default=0)


@settings(max_examples=300, derandomize=True, database=None)
@given(text=texts)
def test_text_that_is_not_stream_safe_is_rejected(text: str) -> None:
    if longest_run(text) > MAX_MARKS:
        with pytest.raises(ValueError, match="combining marks"):
            check_text(text)
    else:
        check_text(text)


@pytest.mark.parametrize("mark", ["\u0301", "\u0316", "\u0344", MADE_OF_MARKS])
def test_thirty_marks_are_accepted_and_no_more(mark: str) -> None:
    each = len(unicodedata.normalize("NFKD", mark))
    check_text("a" + mark * (MAX_MARKS // each) + "b" + mark)
    with pytest.raises(ValueError, match="30 consecutive combining marks"):
        check_text("a" + mark * (MAX_MARKS // each + 1))


def test_no_character_has_more_code_points_in_another_form_than_the_bound_assumes() -> None:
    longest = max(
        len(unicodedata.normalize("NFD", chr(code)))
        for code in range(sys.maxunicode + 1)
        if unicodedata.normalize("NFC", chr(code)) == chr(code)
    )
    assert longest == len(unicodedata.normalize("NFD", EXPANDING)) == EXPANSION


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_limits_of_fields_count_characters_of_nfc_in_any_form(
    form: Literal["NFC", "NFD"],
) -> None:
    def sent(length: int) -> str:
        return unicodedata.normalize(form, EXPANDING * length)

    assert normalize_name(sent(200)) == EXPANDING * 200
    RULES.check(sent(1024), own_words=())
    check_text(sent(1024))
    for rule in (normalize_name, lambda text: RULES.check(text, own_words=())):
        with pytest.raises(ValueError, match="must have"):
            rule(sent(1025))


def test_an_address_has_at_most_254_characters_in_nfc_in_any_form() -> None:
    address = "ä" * 32 + "@" + ".".join(["b" * 62, "b" * 62, "b" * 59]) + ".com"
    assert normalize_email(unicodedata.normalize("NFD", address)) == address
    for length in (255, 60_000):
        with pytest.raises(ValueError, match="at most 254 characters"):
            normalize_email("ä" * length)


def test_text_that_is_too_long_is_not_normalized() -> None:
    text = "a" + "\u0301" * 10_000 + "\u0316" * 10_000
    assert nfc(text, max_length=200) is text
    for rule in (normalize_name, normalize_email, lambda text: RULES.check(text, own_words=())):
        with pytest.raises(ValueError, match="must"):
            rule(text)
    with pytest.raises(ValueError, match="too long"):
        check_text("x" * (MAX_CODE_POINTS + 1))


def test_long_runs_of_marks_are_rejected_by_each_rule() -> None:
    text = "a" + "\u0301\u0316" * 16 + "bcdefgh"
    for rule in (normalize_name, normalize_email, lambda text: RULES.check(text, own_words=())):
        with pytest.raises(ValueError, match="30 consecutive combining marks"):
            rule(text)


def test_basic_with_text_that_no_rule_accepts_is_rejected() -> None:
    marks = "a" + "\u0301\u0316" * 16
    long = "x" * (MAX_CODE_POINTS + 1)
    for user, password in (("susan@example.com", marks), (marks, "p"), ("s", long), (long, "p")):
        with pytest.raises(CredentialsInvalid):
            decode_authorization(basic(user, password))
    assert decode_authorization(basic("susan@example.com", "x" * MAX_LENGTH)) is not None


def test_names_contain_no_format_characters_except_the_joiners() -> None:
    rejected = re.compile(f"[{REJECTED}]")
    wanted = {"Cc", "Cf", "Zl", "Zp"}
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character) in wanted:
            assert bool(rejected.search(character)) != (character in "\u200c\u200d"), ascii(
                character
            )


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\u200b", "\u00ad", "\U000e0041"])
def test_a_name_that_would_display_as_another_one_is_rejected(character: str) -> None:
    with pytest.raises(ValueError, match="invisible"):
        normalize_name(f"Su{character}san")


@pytest.mark.parametrize(
    "name",
    [
        "\u200b",
        "\u00ad",
        "\ufeff",
        "\u2060",
        "\u202e",
        "\U000e0041",
        "\u3164",
        "\u2800",
        "\u115f\u1160",
        "\uffa0 \u2800",
        "\ufe0f",
        "\U000e0100",
        "\u200d",
        "\u3164\u200c\u3164",
    ],
    ids=ascii,
)
def test_a_name_without_a_visible_character_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="visible"):
        normalize_name(name)
    assert normalize_name("Su\u2800김") == "Su\u2800김"


@pytest.mark.parametrize("joiner", ["\u200c", "\u200d"])
def test_a_joiner_is_accepted_only_between_two_characters(joiner: str) -> None:
    assert normalize_name(f"می{joiner}خواهم 👩{joiner}💻") == f"می{joiner}خواهم 👩{joiner}💻"
    for name in (f"{joiner}Susan", f"Susan{joiner}", f"Su{joiner}{joiner}san", f"Su {joiner}san"):
        with pytest.raises(ValueError, match="only between"):
            normalize_name(name)


def test_only_one_module_normalizes_text() -> None:
    modules = [path for folder in SOURCE_PATHS for path in (ROOT / folder).rglob("*.py")]
    found = {
        str(path.relative_to(ROOT))
        for path in modules
        if "unicodedata.normalize" in path.read_text("utf-8")
    }
    assert found == {"rules/text_bounds.py"}

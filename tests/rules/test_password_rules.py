"""The reason for the rejection of a password, in words and as a code for programs."""

import re

import pytest

from contract.documents import problem_document
from rules.errors import InvalidFields, Rejected
from rules.field_errors import FieldErrors
from rules.password_rules import PasswordRules
from tests.harness.configuration import ROOT

OWN = ("susan.miller@example.com", "Susan Miller-Jones")
SERVICE = ("userauth", "Acme Portal")
STRICT = PasswordRules(min_length=8, refuse_common=True, service_words=SERVICE)
LENIENT = PasswordRules(min_length=8, refuse_common=False, service_words=SERVICE)
REASONS = [
    ("", "password-too-short"),
    ("1234567", "password-too-short"),
    ("\x00", "password-too-short"),
    ("x" * 1025, "password-too-long"),
    ("\u0958" * 600, "password-too-long"),  # two characters each in NFC
    ("with\x00null", "password-control-characters"),
    ("password\n", "password-control-characters"),
    ("password", "password-common"),
    ("Password1", "password-common"),
    ("susan.miller@example.com", "password-own-words"),
    ("millersusan2024!", "password-own-words"),
    ("userauth", "password-service-words"),
    ("UserAuth-2024", "password-service-words"),
    ("\uff35serauth123", "password-service-words"),  # a full-width U
    ("acmeportal", "password-service-words"),
    ("portal-acme-99", "password-service-words"),
    ("userauth-userauth", "password-service-words"),
]


@pytest.mark.parametrize(("password", "code"), REASONS)
def test_a_rejected_password_has_the_code_of_the_violated_rule(password: str, code: str) -> None:
    with pytest.raises(Rejected) as rejected:
        STRICT.check(password, own_words=OWN)
    assert rejected.value.code == code
    assert str(rejected.value)


@pytest.mark.parametrize(
    "password", ["userauth likes horses", "acme correct battery", "7f!Kq92_xZ"]
)
def test_a_password_with_more_than_the_names_of_the_service_is_accepted(password: str) -> None:
    STRICT.check(password, own_words=OWN)


@pytest.mark.parametrize("password", ["password", "userauth", "acmeportal", "susanmiller"])
def test_without_refuse_common_no_word_is_rejected(password: str) -> None:
    LENIENT.check(password, own_words=OWN)


def test_without_service_words_the_name_of_the_service_is_accepted() -> None:
    rules = PasswordRules(min_length=8, refuse_common=True, service_words=())
    rules.check("userauth-2024", own_words=OWN)


def test_own_words_take_precedence_over_service_words_in_the_reason() -> None:
    with pytest.raises(Rejected) as rejected:
        STRICT.check("userauth-2024", own_words=("admin@userauth.com", ""))
    assert rejected.value.code == "password-own-words"


def test_a_problem_document_contains_the_code_beside_field_and_message() -> None:
    errors = FieldErrors()
    errors.check("password", lambda text: STRICT.check(text, own_words=OWN), "short")
    with pytest.raises(InvalidFields) as raised:
        errors.raise_if_any()
    assert problem_document(raised.value, "an-id")["errors"] == [
        {
            "field": "password",
            "message": "must have 8 to 1024 characters",
            "code": "password-too-short",
        }
    ]


def test_an_error_without_a_code_has_field_and_message_only() -> None:
    errors = FieldErrors()
    errors.check("count", int, "many")
    errors.add("name", "is required")
    with pytest.raises(InvalidFields) as raised:
        errors.raise_if_any()
    errors_sent = problem_document(raised.value, "an-id")["errors"]
    assert errors_sent[1] == {"field": "name", "message": "is required"}
    assert [set(error) for error in errors_sent] == [{"field", "message"}] * 2


def test_exactly_the_existing_codes_are_documented() -> None:
    page = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    section = page.partition("\n## invalid-fields\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)
    assert documented == list(dict.fromkeys(code for _, code in REASONS))

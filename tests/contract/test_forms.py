"""The forms of all calls: hostile text and members are rejected at little cost."""

import pytest

from contract.forms import Form, UrlEncodedForm
from handlers import routes
from rules.errors import InvalidFields, MalformedRequest
from rules.text_bounds import MAX_CODE_POINTS

# Ordered, so that every worker of a parallel run collects the same tests.
FORMS = dict.fromkeys(call.body for _, handler in routes for call in handler.calls.values())
FIELDS = [(form, field) for form in FORMS for field in form.model_fields]
MARKS = "a" + "\u0301\u0316" * 16


class Example(Form):
    one: str
    two: str | None = None


class Parameters(UrlEncodedForm):
    one: str


def errors_of(form: type[Form], members: dict[str, object]) -> dict[str, str]:
    with pytest.raises(InvalidFields) as rejected:
        form.of(members)
    return {error.field: error.message for error in rejected.value.errors}


@pytest.mark.parametrize(
    ("form", "field"), FIELDS, ids=[f"{form.__name__}.{field}" for form, field in FIELDS]
)
def test_every_field_of_every_call_rejects_unsafe_text(form: type[Form], field: str) -> None:
    assert errors_of(form, {field: "x" * (MAX_CODE_POINTS + 1)})[field] == "is too long"
    assert "combining marks" in errors_of(form, {field: MARKS})[field]


def test_of_thousands_of_unknown_members_few_are_reported_beside_the_other_errors() -> None:
    unknown: dict[str, object] = {f"x{number}": [number] for number in range(7000)}
    errors = errors_of(Example, {**unknown, "two": 5})
    assert errors["one"] == "is required"
    assert errors["two"] == "must be a string"
    assert errors["x0"] == "is not a field of this call"
    assert len(errors) == 20


def test_a_few_unknown_members_are_all_reported() -> None:
    errors = errors_of(Example, {"one": "1", "x": 1, "y": 2})
    assert errors == dict.fromkeys("xy", "is not a field of this call")


def test_a_field_with_an_empty_name_is_reported_as_it_is() -> None:
    errors = errors_of(Example, {"one": "1", "": 2})
    assert errors == {"": "is not a field of this call"}


def test_form_parameters_are_decoded_as_browsers_encode_them() -> None:
    content = b"&&one=%C3%A4+%2B\xc3\xa4=&two=2&three&"
    assert Parameters.read(content).one == "ä +ä="


@pytest.mark.parametrize(
    "content",
    [
        b"one=1&one=2",
        b"one=%ff",
        b"one=%ed%a0%80",  # a surrogate
        b"one=\xff",
        b"%ff=1&one=1",
        b"&".join([b"one=1"] * 101),
        b"&" * 100,
    ],
)
def test_too_many_repeated_or_undecodable_form_parameters_are_malformed(content: bytes) -> None:
    with pytest.raises(MalformedRequest):
        Parameters.read(content)

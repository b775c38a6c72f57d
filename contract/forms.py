"""Request bodies, parsed from bytes into typed forms."""

from collections.abc import Callable, Container, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import ErrorDetails

from contract.json_text import (
    LoneSurrogate,
    NestedTooDeeply,
    NumberTooLong,
    RepeatedName,
    read_json,
)
from rules.errors import FieldError, InvalidFields, MalformedRequest
from rules.text_bounds import MAX_CODE_POINTS, check_text

# Checks the fields of a body that have the correct type; returns their errors.
FieldRules = Callable[[Mapping[str, Any]], Sequence[FieldError]]
FormType = TypeVar("FormType", bound="Form")

# A body can contain thousands of unknown fields, each with a long name.
_MAX_ERRORS = 20
_MAX_FIELD_LENGTH = 100

_MAX_PARAMETERS = 100
# A character has up to four bytes of UTF-8, each as a percent sign and two digits.
_MAX_ENCODED_BYTES = 12

_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this call",
    "string_too_long": "is too long",
    "string_type": "must be a string",
}
_NO_JSON = "Send a body that is valid JSON in UTF-8."
_REJECTED_JSON: Mapping[type[ValueError], str] = {
    RepeatedName: "Send each field of a JSON object once.",
    NestedTooDeeply: "Send JSON that is nested less deeply.",
    NumberTooLong: "Send numbers with fewer digits.",
    LoneSurrogate: "Send text without lone surrogates.",
}


class Form(BaseModel):
    """The fields of a body: only declared ones, each with its type, without coercion.

    The docstring of a form is its description in the OpenAPI document.
    """

    media_type: ClassVar = "application/json"
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        str_max_length=MAX_CODE_POINTS,
    )

    @classmethod
    def read(cls, content: bytes, rules: FieldRules | None = None) -> Self:
        """Return the form in a body.

        Raises MalformedRequest if the body is not a JSON object in UTF-8, and InvalidFields if
        fields are missing, unknown or of the wrong type. Then ``rules`` check the other fields, so
        that all errors are reported together.
        """
        return cls.of(_read_json(content), rules)

    @field_validator("*")
    @classmethod
    def _check_text(cls, value: object) -> object:
        if isinstance(value, str):
            check_text(value)
        return value

    @classmethod
    def of(cls, members: Mapping[str, object], rules: FieldRules | None = None) -> Self:
        """Return the form with a JSON object's members; raise InvalidFields if they do not fit."""
        if len(members) > len(cls.model_fields) + _MAX_ERRORS:
            members = cls._with_few_unknown(members)
        try:
            return cls.model_validate(members)
        except ValidationError as error:
            errors = [_field_error(each) for each in error.errors()[:_MAX_ERRORS]]
            invalid = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
            valid = {
                name: members[name] for name in cls.model_fields.keys() & members.keys() - invalid
            }
            raise InvalidFields([*errors, *(rules(valid) if rules else ())]) from None

    @classmethod
    def _with_few_unknown(cls, members: Mapping[str, object]) -> Mapping[str, object]:
        """Return the members with at most a few of the unknown ones, each of which is an error."""
        known = {name: members[name] for name in cls.model_fields if name in members}
        unknown = (name for name in members if name not in cls.model_fields)
        return known | dict.fromkeys(islice(unknown, _MAX_ERRORS))


class UrlEncodedForm(Form):
    """A form as OAuth 2.0 sends it: unknown parameters are ignored (RFC 6749, section 3.2)."""

    media_type: ClassVar = "application/x-www-form-urlencoded"
    model_config = ConfigDict(
        extra="ignore",
        # A parameter may occur once, whether it is declared or not.
        json_schema_extra={
            "additionalProperties": {"type": "string"},
            "maxProperties": _MAX_PARAMETERS,
        },
    )

    @classmethod
    def read(cls, content: bytes, rules: FieldRules | None = None) -> Self:
        """Return the form in a body.

        Raises MalformedRequest if the body is malformed, or a parameter is missing, repeated or
        invalid: OAuth 2.0 has one error for all of these (RFC 6749, section 5.2).
        """
        try:
            return cls.of(read_parameters(content, cls.model_fields), rules)
        except InvalidFields as error:
            raise MalformedRequest(error.detail) from error


class NoFields(Form):
    """The body of a call that takes no fields."""


def _read_json(content: bytes) -> dict[str, object]:
    if not content:
        raise MalformedRequest("Send a body that is not empty: a JSON object in UTF-8.")
    try:
        members = read_json(content)
    except ValueError as error:
        raise MalformedRequest(_REJECTED_JSON.get(type(error), _NO_JSON)) from error
    if not isinstance(members, dict):
        raise MalformedRequest("Send a body that is a JSON object.")
    return members


def read_parameters(content: bytes, declared: Container[str]) -> dict[str, str]:
    """Return the declared parameters of a form; the values of others are not decoded.

    Raises MalformedRequest if a parameter is repeated or not UTF-8, or if there are too many.
    """
    if content.count(b"&") >= _MAX_PARAMETERS:
        raise MalformedRequest(f"Send a form with at most {_MAX_PARAMETERS} parameters.")
    found: dict[str, bytes] = {}
    for pair in content.split(b"&"):
        encoded, _, value = pair.partition(b"=")
        if not pair or len(encoded) > _MAX_FIELD_LENGTH * _MAX_ENCODED_BYTES:
            continue
        name = _read_urlencoded(encoded)
        if name in found:
            raise MalformedRequest("Send each parameter once.")
        found[name] = value
    # An empty value counts as an absent one (RFC 6749, section 3.2).
    return {
        name: _read_urlencoded(value) for name, value in found.items() if value and name in declared
    }


def _read_urlencoded(content: bytes) -> str:
    # urllib's parse_qs would take three times as long for text beyond ASCII.
    try:
        return unquote_to_bytes(content.replace(b"+", b" ")).decode()
    except ValueError as error:
        raise MalformedRequest("Send a form in UTF-8.") from error


def _field_error(error: ErrorDetails) -> FieldError:
    # The location is empty if the whole body is wrong; a field may have an empty name.
    location = error["loc"] or ("body",)
    field = ".".join(str(part) for part in location)[:_MAX_FIELD_LENGTH]
    # The message of a ValueError that a form raises, without pydantic's prefix.
    cause = error.get("ctx", {}).get("error")
    return FieldError(field, str(cause) if cause else _MESSAGES.get(error["type"], error["msg"]))

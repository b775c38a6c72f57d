"""Bodies: from bytes to a typed form."""

from collections.abc import Container, Mapping
from itertools import islice
from typing import ClassVar, Self, TypeVar
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import ErrorDetails, from_json

from rules.errors import FieldError, InvalidFields, MalformedRequest
from rules.text_bounds import MAX_CODE_POINTS, check_text

FormType = TypeVar("FormType", bound="Form")

# A body can hold thousands of unknown fields, each with a long name.
_MOST_ERRORS = 20
_LONGEST_FIELD = 100

_MOST_PARAMETERS = 100
# Of a character: four bytes of UTF-8, each with a percent sign and two digits.
_ENCODED_BYTES = 12

_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this call",
    "string_too_long": "is too long",
    "string_type": "must be a string",
}


class Form(BaseModel):
    """The fields of a body: none but the named ones, each of its type, nothing coerced.

    The docstring of each form is told to those who write clients.
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
    def read(cls, content: bytes) -> Self:
        """Return the form in a body.

        Raises MalformedRequest for what is no JSON object in UTF-8, and InvalidFields for
        fields that are missing, unknown or of the wrong type.
        """
        return cls.of(_read_json(content))

    @field_validator("*")
    @classmethod
    def _check_text(cls, value: object) -> object:
        if isinstance(value, str):
            check_text(value)
        return value

    @classmethod
    def of(cls, members: Mapping[str, object]) -> Self:
        """Return the form of some members; raises InvalidFields."""
        if len(members) > len(cls.model_fields) + _MOST_ERRORS:
            members = cls._with_few_unknown(members)
        try:
            return cls.model_validate(members)
        except ValidationError as error:
            raise InvalidFields(map(_field_error, error.errors()[:_MOST_ERRORS])) from None

    @classmethod
    def _with_few_unknown(cls, members: Mapping[str, object]) -> Mapping[str, object]:
        """Return the members without most of the unknown ones: of each, pydantic makes an error."""
        known = {name: members[name] for name in cls.model_fields if name in members}
        unknown = (name for name in members if name not in cls.model_fields)
        return known | dict.fromkeys(islice(unknown, _MOST_ERRORS))


class UrlEncodedForm(Form):
    """A form as OAuth 2.0 sends it: unknown parameters are ignored (RFC 6749, section 3.2)."""

    media_type: ClassVar = "application/x-www-form-urlencoded"
    model_config = ConfigDict(
        extra="ignore",
        # Whatever a parameter means, it may be there once.
        json_schema_extra={
            "additionalProperties": {"type": "string"},
            "maxProperties": _MOST_PARAMETERS,
        },
    )

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Return the form in a body.

        Raises MalformedRequest for what cannot be read or names a parameter twice, and
        InvalidFields for parameters that are missing.
        """
        return cls.of(_read_parameters(content, cls.model_fields))


class NoFields(Form):
    """The body of a call that takes none."""


def _read_json(content: bytes) -> dict[str, object]:
    try:
        members = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedRequest("Send a body that is valid JSON in UTF-8.") from error
    if not isinstance(members, dict):
        raise MalformedRequest("Send a body that is a JSON object.")
    return members


def _read_parameters(content: bytes, wanted: Container[str]) -> dict[str, str]:
    """Return the parameters of these names; the values of others are not even decoded."""
    if content.count(b"&") >= _MOST_PARAMETERS:
        raise MalformedRequest(f"Send a form of at most {_MOST_PARAMETERS} parameters.")
    found: dict[str, bytes] = {}
    for pair in content.split(b"&"):
        encoded, _, value = pair.partition(b"=")
        if not pair or len(encoded) > _LONGEST_FIELD * _ENCODED_BYTES:
            continue
        name = _read_urlencoded(encoded)
        if name in found:
            raise MalformedRequest("Send each parameter once.")
        found[name] = value
    # An empty value is an absent one (RFC 6749, section 3.2).
    return {
        name: _read_value(name, value) for name, value in found.items() if value and name in wanted
    }


def _read_value(name: str, value: bytes) -> str:
    if len(value) > MAX_CODE_POINTS * _ENCODED_BYTES:
        raise InvalidFields([FieldError(name, _MESSAGES["string_too_long"])])
    return _read_urlencoded(value)


def _read_urlencoded(content: bytes) -> str:
    # urllib's parse_qs would take three times as long for text beyond ASCII.
    try:
        return unquote_to_bytes(content.replace(b"+", b" ")).decode()
    except ValueError as error:
        raise MalformedRequest("Send a form in UTF-8.") from error


def _field_error(error: ErrorDetails) -> FieldError:
    field = ".".join(str(part) for part in error["loc"])[:_LONGEST_FIELD] or "body"
    # What a form says of itself, by raising ValueError, is said without pydantic's preface.
    cause = error.get("ctx", {}).get("error")
    return FieldError(field, str(cause) if cause else _MESSAGES.get(error["type"], error["msg"]))

"""Bodies: from bytes to a typed form."""

from typing import ClassVar, Self, TypeVar
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, from_json

from auth.errors import FieldError, InvalidFields, MalformedRequest

FormType = TypeVar("FormType", bound="Form")

# A body can hold thousands of unknown fields, each with a long name.
_MOST_ERRORS = 20
_LONGEST_FIELD = 100

_MOST_PARAMETERS = 100

_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this call",
    "string_type": "must be a string",
}


class Form(BaseModel):
    """The fields of a body: none but the named ones, each of its type, nothing coerced.

    The docstring of each form is told to those who write clients.
    """

    media_type: ClassVar = "application/json"
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Return the form in a body.

        Raises MalformedRequest for what is no JSON object in UTF-8, and InvalidFields for
        fields that are missing, unknown or of the wrong type.
        """
        return cls.of(_read_json(content))

    @classmethod
    def of(cls, members: object) -> Self:
        """Return the form of some members; raises InvalidFields."""
        try:
            return cls.model_validate(members)
        except ValidationError as error:
            raise InvalidFields(map(_field_error, error.errors()[:_MOST_ERRORS])) from None


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
        return cls.of(_read_parameters(content))


class NoFields(Form):
    """The body of a call that takes none."""


def _read_json(content: bytes) -> object:
    try:
        members = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedRequest("Send a body that is valid JSON in UTF-8.") from error
    if not isinstance(members, dict):
        raise MalformedRequest("Send a body that is a JSON object.")
    return members


def _read_parameters(content: bytes) -> dict[str, str]:
    try:
        found = parse_qs(
            content.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
            separator="&",
        )
    except ValueError as error:
        raise MalformedRequest("Send a form of a few parameters in UTF-8.") from error
    if any(len(values) > 1 for values in found.values()):
        raise MalformedRequest("Send each parameter once.")
    # An empty value is an absent one (RFC 6749, section 3.2).
    return {name: values[0] for name, values in found.items() if values[0]}


def _field_error(error: ErrorDetails) -> FieldError:
    field = ".".join(str(part) for part in error["loc"])[:_LONGEST_FIELD] or "body"
    # What a form says of itself, by raising ValueError, is said without pydantic's preface.
    cause = error.get("ctx", {}).get("error")
    return FieldError(field, str(cause) if cause else _MESSAGES.get(error["type"], error["msg"]))

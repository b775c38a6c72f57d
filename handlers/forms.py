"""Bodies: from bytes to a typed form."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, from_json

from auth.errors import FieldError, InvalidFields, MalformedRequest

FormType = TypeVar("FormType", bound="Form")

# A body can hold thousands of unknown fields, each with a long name.
_MOST_ERRORS = 20
_LONGEST_FIELD = 100

_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this call",
    "string_type": "must be a string",
}


class Form(BaseModel):
    """The fields of a body: none but the named ones, each of its type, nothing coerced."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class NoFields(Form):
    """The body of a call that takes none."""


def read_form(model: type[FormType], content: bytes) -> FormType:
    """Return the form in a JSON body.

    Raises MalformedRequest for what is no JSON object in UTF-8, and InvalidFields for
    fields that are missing, unknown or of the wrong type.
    """
    try:
        members = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedRequest("Send a body that is valid JSON in UTF-8.") from error
    if not isinstance(members, dict):
        raise MalformedRequest("Send a body that is a JSON object.")
    try:
        return model.model_validate(members)
    except ValidationError as error:
        raise InvalidFields(map(_field_error, error.errors()[:_MOST_ERRORS])) from None


def _field_error(error: ErrorDetails) -> FieldError:
    field = ".".join(str(part) for part in error["loc"])[:_LONGEST_FIELD] or "body"
    # What a form says of itself, by raising ValueError, is said without pydantic's preface.
    cause = error.get("ctx", {}).get("error")
    return FieldError(field, str(cause) if cause else _MESSAGES.get(error["type"], error["msg"]))

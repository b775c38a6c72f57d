"""The forms of the pages: their fields as a person sees them, and as they are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from contract.forms import UrlEncodedForm


@dataclass(frozen=True, slots=True)
class Field:
    """An input of a form; ``kind`` is its type in HTML, ``name`` also the key of its label."""

    name: str
    kind: str = "text"
    autocomplete: str = "off"
    inputmode: str = ""
    is_required: bool = True
    hint: str = ""
    label: str = ""
    # A script removes the field if the link in a message contained the secret.
    is_replaced_by_link: bool = False

    @property
    def label_key(self) -> str:
        """Return the key of the label: by default that of the name."""
        return self.label or self.name

    @property
    def is_hidden(self) -> bool:
        """Return whether a person does not see the field."""
        return self.kind in {"hidden", "fragment"}


EMAIL = Field("email", "email", "username", "email")
CURRENT_PASSWORD = Field("password", "password", "current-password")
NEW_PASSWORD = Field(
    "password", "password", "new-password", hint="new-password", label="new_password"
)
CODE = Field("code", "text", "one-time-code", "numeric", hint="code", is_replaced_by_link=True)
# The fragment of the link in a message, which a script moves into the form.
TOKEN = Field("token", "fragment")
REQUEST = Field("request", "hidden")


class PageForm(UrlEncodedForm):
    """The fields of a page's form, in addition to the token that each form has."""

    fields: ClassVar[tuple[Field, ...]] = ()


@dataclass(frozen=True, slots=True)
class FormView:
    """A form as a template shows it: never with a password that was typed."""

    fields: tuple[Field, ...]
    values: Mapping[str, str] = field(repr=False)
    errors: Mapping[str, str]
    # Whether a person has filled it in before.
    is_sent: bool = False

    def value(self, wanted: Field) -> str:
        """Return the text that was typed, except for passwords and codes."""
        if wanted.kind in {"password", "fragment"} or wanted.autocomplete == "one-time-code":
            return ""
        return self.values.get(wanted.name, "")

    def error(self, wanted: Field) -> str:
        """Return the error of a field, or an empty text."""
        return self.errors.get(wanted.name, "")

    @property
    def focus(self) -> str:
        """Return the name of the field that has the focus, or an empty text.

        That is the first field with an error; in a form that was sent, the first one to fill in
        again; otherwise the first one.
        """
        shown = [each for each in self.fields if not each.is_hidden]
        faulty = (each for each in shown if each.name in self.errors)
        empty = (each for each in shown if self.is_sent and not self.value(each))
        return next((each.name for each in (*faulty, *empty, *shown)), "")

    @property
    def other_errors(self) -> tuple[str, ...]:
        """Return the errors of fields that the form does not show."""
        shown = {each.name for each in self.fields if not each.is_hidden}
        return tuple(message for name, message in self.errors.items() if name not in shown)

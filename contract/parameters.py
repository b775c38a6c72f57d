"""Query parameters: their parsing, and their JSON Schemas."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rules.errors import FieldError, InvalidParameters
from rules.uuids import UUID

Value = TypeVar("Value")
_MAX_DIGITS = 20
_MAX_ERRORS = 20
_MAX_NAME_LENGTH = 100
UUID_FORM = re.compile(UUID)


@dataclass(frozen=True, slots=True)
class Parameter(Generic[Value]):
    """An optional parameter, which may occur once."""

    name: str
    description: str

    def read(self, values: Sequence[str]) -> Value:
        """Return the value, given the values in a query; raise InvalidParameters if invalid."""
        raise NotImplementedError

    def schema(self) -> dict[str, object]:
        """Return the JSON Schema of the value."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Number(Parameter[int]):
    """An integer from 1 to ``maximum``."""

    default: int
    maximum: int

    def read(self, values: Sequence[str]) -> int:
        match values:
            case []:
                return self.default
            case [text] if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS:
                number = int(text)
                if 0 < number <= self.maximum:
                    return number
        message = f"must be an integer from 1 to {self.maximum}, given once"
        raise InvalidParameters([FieldError(self.name, message)])

    def schema(self) -> dict[str, object]:
        return {
            "type": "integer",
            "format": "int64",
            "minimum": 1,
            "maximum": self.maximum,
            "default": self.default,
        }


@dataclass(frozen=True, slots=True)
class Identifier(Parameter[str | None]):
    """A UUID; None by default."""

    def read(self, values: Sequence[str]) -> str | None:
        match values:
            case []:
                return None
            case [text] if UUID_FORM.fullmatch(text):
                return text
        raise InvalidParameters([FieldError(self.name, "must be a UUID in lower case, given once")])

    def schema(self) -> dict[str, object]:
        return {"type": "string", "format": "uuid", "pattern": f"^{UUID_FORM.pattern}$"}


@dataclass(frozen=True, slots=True)
class Flag(Parameter[bool]):
    """True or false; false by default."""

    def read(self, values: Sequence[str]) -> bool:
        match values:
            case [] | ["false"]:
                return False
            case ["true"]:
                return True
        raise InvalidParameters([FieldError(self.name, "must be true or false, given once")])

    def schema(self) -> dict[str, object]:
        return {"type": "boolean", "default": False}


def check_names(names: Iterable[str], declared: Collection[Parameter[Any]]) -> None:
    """Raise InvalidParameters if a query has parameters that its call does not declare."""
    known = {parameter.name for parameter in declared}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidParameters(
            FieldError(name[:_MAX_NAME_LENGTH], "is not a query parameter of this call")
            for name in unknown[:_MAX_ERRORS]
        )

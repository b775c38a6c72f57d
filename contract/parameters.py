"""Parameters of the query string: how each is read, and what is told of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rules.errors import FieldError, InvalidFields

Value = TypeVar("Value")
_MOST_DIGITS = 20
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Parameter(Generic[Value]):
    """A parameter that may be left out, and may stand in a query once."""

    name: str
    text: str

    def read(self, values: Sequence[str]) -> Value:
        """Return what the values of the parameter in a query say; raises InvalidFields."""
        raise NotImplementedError

    def schema(self) -> dict[str, object]:
        """Return the JSON Schema of what is read."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Number(Parameter[int]):
    """A whole number from 1 to ``largest``; the largest, where it is the default, is no bound."""

    default: int
    largest: int

    def read(self, values: Sequence[str]) -> int:
        match values:
            case []:
                return self.default
            case [text] if text.isascii() and text.isdecimal():
                number = int(text[:_MOST_DIGITS])
                if 0 < number <= self.largest:
                    return number
        raise InvalidFields([FieldError(self.name, f"must be a number, 1 to {self.largest}, once")])

    def schema(self) -> dict[str, object]:
        bounds = {"type": "integer", "format": "int64", "minimum": 1, "maximum": self.largest}
        return bounds if self.default == self.largest else {**bounds, "default": self.default}


@dataclass(frozen=True, slots=True)
class Identifier(Parameter[str | None]):
    """A UUID; None where it is left out."""

    def read(self, values: Sequence[str]) -> str | None:
        match values:
            case []:
                return None
            case [text] if _UUID.fullmatch(text):
                return text
        raise InvalidFields([FieldError(self.name, "must be a UUID in lower case, once")])

    def schema(self) -> dict[str, object]:
        return {"type": "string", "format": "uuid", "pattern": f"^{_UUID.pattern}$"}


@dataclass(frozen=True, slots=True)
class Flag(Parameter[bool]):
    """True or false; false where it is left out."""

    def read(self, values: Sequence[str]) -> bool:
        match values:
            case [] | ["false"]:
                return False
            case ["true"]:
                return True
        raise InvalidFields([FieldError(self.name, "must be true or false, once")])

    def schema(self) -> dict[str, object]:
        return {"type": "boolean", "default": False}

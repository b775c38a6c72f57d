"""Gathering what is wrong with the fields of a request, to tell it all at once."""

from collections.abc import Callable
from typing import TypeVar

from rules.errors import FieldError, InvalidFields, Refused

T = TypeVar("T")
V = TypeVar("V")


class FieldErrors:
    """What is wrong with the fields of one request."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def check(self, field: str, rule: Callable[[V], T], value: V | None) -> T | None:
        """Return what the rule makes of the value; None where it is None or was refused."""
        if value is None:
            return None
        try:
            return rule(value)
        except ValueError as error:
            code = error.code if isinstance(error, Refused) else None
            self._errors.append(FieldError(field, str(error), code))
            return None

    def add(self, field: str, message: str) -> None:
        """Refuse a field."""
        self._errors.append(FieldError(field, message))

    def raise_if_any(self) -> None:
        """Raise InvalidFields where anything was refused."""
        if self._errors:
            raise InvalidFields(self._errors)

"""Errors in the fields of a request, collected so that one response reports all of them."""

from collections.abc import Callable
from typing import TypeVar

from rules.errors import FieldError, InvalidFields, Rejected

T = TypeVar("T")
V = TypeVar("V")


class FieldErrors:
    """Collects the errors in the fields of one request."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def check(self, field: str, rule: Callable[[V], T], value: V | None) -> T | None:
        """Return the result of the rule, or None if the value is None or rejected."""
        if value is None:
            return None
        try:
            return rule(value)
        except ValueError as error:
            code = error.code if isinstance(error, Rejected) else None
            self._errors.append(FieldError(field, str(error), code))
            return None

    def add(self, field: str, message: str) -> None:
        """Reject a field."""
        self._errors.append(FieldError(field, message))

    def raise_if_any(self) -> None:
        """Raise InvalidFields if a field was rejected."""
        if self._errors:
            raise InvalidFields(self._errors)

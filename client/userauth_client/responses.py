"""Responses as received, and typed access to their JSON."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NoReturn, Self
from urllib.parse import unquote

import httpx

from userauth_client.errors import (
    FieldError,
    Problem,
    ProblemError,
    UnexpectedResponseError,
    problem_error,
)

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


class BodyBuffer:
    """The body of a response as it arrives, up to a maximum size."""

    def __init__(self, response: httpx.Response, max_bytes: int) -> None:
        self._response = response
        self._max_bytes = max_bytes
        self._content = bytearray()
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            # No encoding was requested, and a few compressed bytes could expand without limit.
            self._reject("The response is compressed.")

    def add(self, chunk: bytes) -> None:
        """Append a chunk; raises UnexpectedResponseError if the body exceeds the maximum."""
        self._content += chunk
        if len(self._content) > self._max_bytes:
            self._reject(f"The response has more than {self._max_bytes} bytes.")

    def response(self) -> "Response":
        """Return the complete response."""
        return Response(self._response.status_code, self._response.headers, bytes(self._content))

    def _reject(self, reason: str) -> NoReturn:
        raise Response(self._response.status_code, self._response.headers, b"").unexpected(reason)


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response."""

    status: int
    headers: httpx.Headers = field(repr=False)
    content: bytes = field(repr=False)

    def document(self) -> "Document":
        """Return the JSON object in the body; raises UnexpectedResponseError."""
        if self.media_type != "application/json":
            raise self.unexpected("The response is not JSON.")
        return Document(self, self._members())

    def error(self) -> ProblemError | UnexpectedResponseError:
        """Return the exception for an unsuccessful response."""
        if HTTPStatus.MULTIPLE_CHOICES <= self.status < HTTPStatus.BAD_REQUEST:
            return self.unexpected(
                "The response is a redirect, which is not followed because it would forward "
                "credentials: check base_url."
            )
        if self.status < HTTPStatus.BAD_REQUEST:
            return self.unexpected("The call does not return this status.")
        if self.media_type != "application/problem+json":
            return self.unexpected(
                "The error is not a problem document: it may come from a proxy or another server."
            )
        return problem_error(Document(self, self._members()).problem())

    def unexpected(self, reason: str) -> UnexpectedResponseError:
        return UnexpectedResponseError(reason, self.status, self.retry_after)

    @property
    def media_type(self) -> str:
        return str(self.headers.get("Content-Type", "")).partition(";")[0].strip(" \t").lower()

    @property
    def retry_after(self) -> int | None:
        """Return the seconds of Retry-After; None if it is missing or a date."""
        text = self.headers.get("Retry-After", "")
        return int(text) if _SECONDS.fullmatch(text) else None

    def decoded_header(self, name: str) -> str:
        """Return the value of a header, decoded from percent-encoded UTF-8.

        Raises UnexpectedResponseError.
        """
        try:
            return unquote(self.headers[name], errors="strict")
        except (KeyError, UnicodeDecodeError):
            raise self.unexpected(f"The response has no valid {name} header.") from None

    def _members(self) -> Mapping[str, object]:
        try:
            members = json.loads(self.content)
        except (ValueError, RecursionError):
            raise self.unexpected("The response is not valid JSON.") from None
        if not isinstance(members, dict):
            raise self.unexpected("The response is not a JSON object.")
        return members


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object; its members are read by name and type, and unknown ones are ignored."""

    response: Response
    members: Mapping[str, object] = field(repr=False)

    def text(self, name: str) -> str:
        value = self.members.get(name)
        return value if isinstance(value, str) else self._reject(name)

    def optional_text(self, name: str) -> str | None:
        return None if self.members.get(name) is None else self.text(name)

    def flag(self, name: str) -> bool:
        value = self.members.get(name)
        return value if isinstance(value, bool) else self._reject(name)

    def number(self, name: str) -> int:
        value = self.members.get(name)
        return value if type(value) is int else self._reject(name)

    def time(self, name: str) -> datetime:
        """Return a time in RFC 3339 format."""
        try:
            time = datetime.fromisoformat(self.text(name))
            return time.astimezone(UTC) if time.tzinfo else self._reject(name)
        except (ValueError, OverflowError):
            self._reject(name)

    def optional_time(self, name: str) -> datetime | None:
        return None if self.members.get(name) is None else self.time(name)

    def epoch(self, name: str) -> datetime:
        """Return a time in seconds since 1970."""
        try:
            return datetime.fromtimestamp(self.number(name), UTC)
        except (ValueError, OverflowError, OSError):
            self._reject(name)

    def objects(self, name: str) -> Iterable[Self]:
        """Return the objects in an array."""
        value = self.members.get(name)
        entries = value if isinstance(value, list) else self._reject(name)
        return [
            type(self)(self.response, entry) if isinstance(entry, dict) else self._reject(name)
            for entry in entries
        ]

    def problem(self) -> Problem:
        """Return a problem document; all of its members are optional (RFC 9457)."""
        status = self.response.status
        return Problem(
            type=self._text_or("type", "about:blank"),
            title=self._text_or("title", f"Status {status}"),
            status=status,
            detail=self._text_or("detail", ""),
            request_id=self._text_or("request_id", "") or self.response.headers.get("X-Request-ID"),
            errors=tuple(
                FieldError(error.text("field"), error.text("message"), error.optional_text("code"))
                for error in (self.objects("errors") if "errors" in self.members else ())
            ),
            retry_after=self.response.retry_after,
        )

    def _text_or(self, name: str, default: str) -> str:
        value = self.members.get(name)
        return value if isinstance(value, str) else default

    def _reject(self, name: str) -> NoReturn:
        raise self.response.unexpected(f"The response has no valid {name}.") from None

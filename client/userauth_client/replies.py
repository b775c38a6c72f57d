"""What came over the wire, and how it is read."""

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
    UnexpectedAnswerError,
    problem_error,
)

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


class Gathering:
    """The body of an answer while it comes, which must not grow past a bound."""

    def __init__(self, response: httpx.Response, most_bytes: int) -> None:
        self._response = response
        self._most_bytes = most_bytes
        self._content = bytearray()
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            # None was asked for; a few bytes of it could unpack to a flood.
            self._refuse("The answer is compressed.")

    def add(self, chunk: bytes) -> None:
        """Take what came; raises UnexpectedAnswerError where it is too much."""
        self._content += chunk
        if len(self._content) > self._most_bytes:
            self._refuse(f"The answer has more than {self._most_bytes} bytes.")

    def reply(self) -> "Reply":
        """Return the whole answer."""
        return Reply(self._response.status_code, self._response.headers, bytes(self._content))

    def _refuse(self, reason: str) -> NoReturn:
        raise Reply(self._response.status_code, self._response.headers, b"").unexpected(reason)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: httpx.Headers = field(repr=False)
    content: bytes = field(repr=False)

    def document(self) -> "Document":
        """Return the JSON object in the body; raises UnexpectedAnswerError."""
        if self.media_type != "application/json":
            raise self.unexpected("The answer is not JSON.")
        return Document(self, self._members())

    def error(self) -> ProblemError | UnexpectedAnswerError:
        """Return the error that an answer of another status than wanted is."""
        if HTTPStatus.MULTIPLE_CHOICES <= self.status < HTTPStatus.BAD_REQUEST:
            return self.unexpected(
                "The answer is a redirect, which is not followed, for credentials would go along: "
                "check base_url."
            )
        if self.status < HTTPStatus.BAD_REQUEST:
            return self.unexpected("The status is not that of the call.")
        if self.media_type != "application/problem+json":
            return self.unexpected(
                "The error is not a problem document: it may be of a proxy, or of another server."
            )
        return problem_error(Document(self, self._members()).problem())

    def unexpected(self, reason: str) -> UnexpectedAnswerError:
        return UnexpectedAnswerError(reason, self.status, self.retry_after)

    @property
    def media_type(self) -> str:
        return str(self.headers.get("Content-Type", "")).partition(";")[0].strip().lower()

    @property
    def retry_after(self) -> int | None:
        """Return the seconds of Retry-After; None where it has a date, or is missing."""
        text = self.headers.get("Retry-After", "")
        return int(text) if _SECONDS.fullmatch(text) else None

    def decoded(self, name: str) -> str:
        """Return a header field that is percent-encoded UTF-8; raises UnexpectedAnswerError."""
        try:
            return unquote(self.headers[name], errors="strict")
        except (KeyError, UnicodeDecodeError):
            raise self.unexpected(f"The answer has no readable {name}.") from None

    def _members(self) -> Mapping[str, object]:
        try:
            members = json.loads(self.content)
        except (ValueError, RecursionError):
            raise self.unexpected("The answer is not valid JSON.") from None
        if not isinstance(members, dict):
            raise self.unexpected("The answer is not a JSON object.")
        return members


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object, whose members are read by name and type; others are ignored."""

    reply: Reply
    members: Mapping[str, object] = field(repr=False)

    def text(self, name: str) -> str:
        value = self.members.get(name)
        return value if isinstance(value, str) else self._refuse(name)

    def optional_text(self, name: str) -> str | None:
        return None if self.members.get(name) is None else self.text(name)

    def flag(self, name: str) -> bool:
        value = self.members.get(name)
        return value if isinstance(value, bool) else self._refuse(name)

    def number(self, name: str) -> int:
        value = self.members.get(name)
        return value if type(value) is int else self._refuse(name)

    def time(self, name: str) -> datetime:
        """Return a time of RFC 3339."""
        try:
            time = datetime.fromisoformat(self.text(name))
            return time.astimezone(UTC) if time.tzinfo else self._refuse(name)
        except (ValueError, OverflowError):
            self._refuse(name)

    def optional_time(self, name: str) -> datetime | None:
        return None if self.members.get(name) is None else self.time(name)

    def epoch(self, name: str) -> datetime:
        """Return a time that is a number of seconds since 1970."""
        try:
            return datetime.fromtimestamp(self.number(name), UTC)
        except (ValueError, OverflowError, OSError):
            self._refuse(name)

    def each(self, name: str) -> Iterable[Self]:
        """Return the objects in a list."""
        value = self.members.get(name)
        entries = value if isinstance(value, list) else self._refuse(name)
        return [
            type(self)(self.reply, entry) if isinstance(entry, dict) else self._refuse(name)
            for entry in entries
        ]

    def problem(self) -> Problem:
        """Return a problem document; none of its members has to be there (RFC 9457)."""
        status = self.reply.status
        return Problem(
            type=self._text_or("type", "about:blank"),
            title=self._text_or("title", f"Status {status}"),
            status=status,
            detail=self._text_or("detail", ""),
            request_id=self._text_or("request_id", "") or self.reply.headers.get("X-Request-ID"),
            errors=tuple(
                FieldError(error.text("field"), error.text("message"), error.optional_text("code"))
                for error in (self.each("errors") if "errors" in self.members else ())
            ),
            retry_after=self.reply.retry_after,
        )

    def _text_or(self, name: str, instead: str) -> str:
        value = self.members.get(name)
        return value if isinstance(value, str) else instead

    def _refuse(self, name: str) -> NoReturn:
        raise self.reply.unexpected(f"The answer has no valid {name}.") from None

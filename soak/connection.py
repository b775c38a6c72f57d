"""A connection of a client: every request ends with a response or within a time limit."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.harness.http_connection import Connection, MalformedResponse, Response

TIMEOUT_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A complete response; ``fault`` describes an error in its form."""

    status: int
    document: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True, slots=True)
class NoResponse:
    """No complete response; ``sent`` is whether the request may have reached the server."""

    reason: str
    sent: bool
    timed_out: bool = False


class BoundedConnection:
    """A connection to a server, whose port may differ from request to request."""

    def __init__(self) -> None:
        self._connection = Connection(0)

    async def request(self, port: int, request: bytes) -> ApiResponse | NoResponse:
        """Send a request and return its response."""
        sent = False
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                connection = self._to(port)
                await connection.send(request)
                sent = True
                return _parse(await connection.receive())
        except TimeoutError:
            self.close()
            reason = f"no response within {TIMEOUT_SECONDS:.0f} s"
            return NoResponse(reason, sent=sent, timed_out=True)
        except MalformedResponse as error:
            return ApiResponse(0, fault=f"malformed response ({error})")
        except OSError as error:
            self.close()
            return NoResponse(type(error).__name__, sent=sent)

    async def disconnect_after(self, port: int, request: bytes, seconds: float) -> NoResponse:
        """Send a request, or a part of one, and disconnect without reading."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._to(port).send(request)
                await asyncio.sleep(seconds)
        except OSError:
            return NoResponse("not connected", sent=False)
        finally:
            self.close()
        return NoResponse("disconnected", sent=True)

    def close(self) -> None:
        """Abort the connection."""
        self._connection.close()

    def _to(self, port: int) -> Connection:
        if self._connection.port != port:
            self.close()
            self._connection = Connection(port)
        return self._connection


def _parse(response: Response) -> ApiResponse:
    if response.status == 204:
        return ApiResponse(204, fault="a body after 204" if response.body else "")
    try:
        document = json.loads(response.body)
    except ValueError as error:
        return ApiResponse(0, fault=f"malformed response ({error!r})")
    if not isinstance(document, dict):
        return ApiResponse(response.status, fault="the body is not an object")
    return ApiResponse(response.status, document, _form_fault(response, document))


def _form_fault(response: Response, document: Mapping[str, Any]) -> str:
    status = response.status
    media_type = "application/json" if status < 400 else "application/problem+json"
    faults = [
        (not (response.header("Content-Type") or "").startswith(media_type), f"no {media_type}"),
        (response.header("Cache-Control") != "no-store", "no Cache-Control: no-store"),
        (response.header("X-Request-ID") is None, "no X-Request-ID"),
        (status >= 400 and document.get("status") != status, "another status in the body"),
        (status == 401 and response.header("WWW-Authenticate") is None, "no WWW-Authenticate"),
        (status == 422 and not document.get("errors"), "no errors"),
        (status in {429, 503} and response.retry_after is None, "no Retry-After"),
    ]
    return ", ".join(text for is_wrong, text in faults if is_wrong)

"""Sending with the asyncio client; sending.py is the synchronous counterpart."""

from types import TracebackType
from typing import Self

import httpx

from userauth_client.base import (
    MAX_RESPONSE_BYTES,
    TIMEOUT_SECONDS,
    USER_AGENT,
    BaseClient,
    http_options,
)
from userauth_client.calls import Call, Result
from userauth_client.credentials import AsyncCredentialProvider, AsyncRenew, Credential
from userauth_client.errors import Unauthorized
from userauth_client.models import Token
from userauth_client.responses import Response


class AsyncSendingClient(BaseClient[AsyncRenew]):
    """Sends calls from the tasks of one event loop."""

    _http: httpx.AsyncClient
    _credentials: AsyncCredentialProvider

    def __init__(
        self,
        base_url: str,
        *,
        token: Token | str | None = None,
        renew: AsyncRenew | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        user_agent: str = USER_AGENT,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Create a client; nothing is sent yet.

        ``renew`` is called when the server rejects the token, and returns a new one. The timeout
        applies to each step: connecting, sending, waiting for the next piece of the response.
        Users see ``user_agent`` in the list of their tokens. ``transport`` is a transport of
        httpx, for your own certificate authority or proxy.
        """
        super().__init__(base_url, token=token, renew=renew, max_bytes=max_response_bytes)
        self._http = httpx.AsyncClient(
            transport=transport, **http_options(timeout_seconds, user_agent)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. A client from with_…() shares them and does not close them."""
        if self._owns_connections:
            await self._http.aclose()

    def _credential_provider(
        self, authorization: str | None, renew: AsyncRenew | None
    ) -> AsyncCredentialProvider:
        return AsyncCredentialProvider(authorization, renew)

    async def _make(self, call: Call[Result]) -> Result:
        credential = self._credentials.current
        try:
            return self._result(call, await self._send(call, credential))
        except Unauthorized:
            if not self._credentials.may_renew(call):
                raise
        # Outside the except block: later errors must not have the rejection as their context.
        credential = await self._credentials.renew(credential)
        return self._result(call, await self._send(call, credential))

    async def _send(self, call: Call[object], credential: Credential) -> Response:
        request = self._request(call, credential)
        with self._translated_errors():
            response = await self._http.send(request, stream=True)
            try:
                body = self._body_buffer(response)
                async for chunk in response.aiter_raw():
                    body.add(chunk)
            finally:
                await response.aclose()
        return body.response()

"""Sending with the synchronous client; async_sending.py is the asyncio counterpart."""

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
from userauth_client.credentials import Credential, Renew, SyncCredentialProvider
from userauth_client.errors import Unauthorized
from userauth_client.models import Token
from userauth_client.responses import Response


class SendingClient(BaseClient[Renew]):
    """Sends calls from any number of threads."""

    _http: httpx.Client
    _credentials: SyncCredentialProvider

    def __init__(
        self,
        base_url: str,
        *,
        token: Token | str | None = None,
        renew: Renew | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        user_agent: str = USER_AGENT,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Create a client; nothing is sent yet.

        ``renew`` is called when the server rejects the token, and returns a new one. The timeout
        applies to each step: connecting, sending, waiting for the next piece of the response.
        Users see ``user_agent`` in the list of their tokens. ``transport`` is a transport of
        httpx, for your own certificate authority or proxy.
        """
        super().__init__(base_url, token=token, renew=renew, max_bytes=max_response_bytes)
        self._http = httpx.Client(transport=transport, **http_options(timeout_seconds, user_agent))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. A client from with_…() shares them and does not close them."""
        if self._owns_connections:
            self._http.close()

    def _credential_provider(
        self, authorization: str | None, renew: Renew | None
    ) -> SyncCredentialProvider:
        return SyncCredentialProvider(authorization, renew)

    def _make(self, call: Call[Result]) -> Result:
        credential = self._credentials.current
        try:
            return self._result(call, self._send(call, credential))
        except Unauthorized:
            if not self._credentials.may_renew(call):
                raise
        # Outside the except block: later errors must not have the rejection as their context.
        credential = self._credentials.renew(credential)
        return self._result(call, self._send(call, credential))

    def _send(self, call: Call[object], credential: Credential) -> Response:
        request = self._request(call, credential)
        with self._translated_errors():
            response = self._http.send(request, stream=True)
            try:
                body = self._body_buffer(response)
                for chunk in response.iter_raw():
                    body.add(chunk)
            finally:
                response.close()
        return body.response()

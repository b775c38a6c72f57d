"""The asyncio client; client.py is its twin."""

from types import TracebackType
from typing import Self

import httpx

from userauth_client import arguments, calls
from userauth_client.base import (
    MAX_RESPONSE_BYTES,
    TIMEOUT_SECONDS,
    USER_AGENT,
    BaseClient,
    http_options,
)
from userauth_client.calls import UNSET, Call, Result, Unset
from userauth_client.credentials import AsyncCredentialProvider, AsyncRenew, Credential
from userauth_client.errors import Unauthorized
from userauth_client.models import (
    ActiveToken,
    EventPage,
    Token,
    TokenRecord,
    User,
    VerifiedUser,
)
from userauth_client.responses import Response


class AsyncUserAuthClient(BaseClient[AsyncRenew]):
    """Calls one server from the tasks of one event loop.

    Every method may raise the exceptions of userauth_client.errors.
    """

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
        httpx, for a certificate authority or a proxy of your own.
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

    async def register(self, email: str, password: str, name: str | None = None) -> User:
        """Create an account; raises Conflict, InvalidFields, TooManyRequests."""
        return await self._make(calls.register(email, password, name))

    async def log_in(self, email: str, password: str) -> Token:
        """Return a new token; raises Unauthorized, Forbidden, TooManyRequests.

        This client does not change: with_token() returns one that sends the token.
        """
        return await self._make(calls.log_in(email, password))

    async def get_user(self) -> User:
        """Return the user whose credentials this client sends; raises Unauthorized."""
        return await self._make(calls.get_user())

    async def update_user(
        self,
        *,
        name: str | Unset | None = UNSET,
        password: str | None = None,
        current_password: str | None = None,
    ) -> User:
        """Change the name (None removes it), the password, or both.

        A new password revokes every token of the user but the one that this client sends.
        Raises InvalidFields, also if the current password is wrong or missing.
        """
        return await self._make(calls.update_user(name, password, current_password))

    async def delete_user(self, *, current_password: str | None = None) -> None:
        """Delete the account and all its tokens.

        Raises InvalidFields if the current password is wrong, or missing if the server
        requires it.
        """
        await self._make(calls.delete_user(current_password))

    async def log_out(self) -> None:
        """Revoke the token that this client sends; it is not renewed again.

        Raises Unauthorized if the token is no longer valid.
        """
        await self._make(calls.log_out())

    async def list_tokens(self) -> tuple[TokenRecord, ...]:
        """Return the valid tokens of the user, newest first."""
        return await self._make(calls.list_tokens())

    async def revoke_token(self, token_id: str, *, current_password: str | None = None) -> None:
        """Revoke one token by its id; raises NotFound if the user has no such valid token.

        Raises InvalidFields as delete_user() does.
        """
        await self._make(calls.revoke_token(token_id, current_password))

    async def revoke_tokens(
        self, *, keep_current: bool = False, current_password: str | None = None
    ) -> int:
        """Revoke all tokens of the user, or all others; return how many were revoked.

        If this revokes its own token, the client does not renew it. Raises InvalidFields as
        delete_user() does.
        """
        call = calls.revoke_tokens(keep_current=keep_current, current_password=current_password)
        return await self._make(call)

    async def list_events(
        self, *, limit: int | None = None, before: str | None = None
    ) -> EventPage:
        """Return events of the account, newest first; ``limit`` is 1 to 100, by default 50."""
        return await self._make(calls.list_events(limit, before))

    async def verify(self) -> VerifiedUser:
        """Return the owner of this client's credentials, as a reverse proxy requests it."""
        return await self._make(calls.verify())

    async def introspect(self, token: Token | str) -> ActiveToken | None:
        """Return a token that a service received, with its owner; None if it is not valid.

        Requires the id and secret of a registered client: with_service().
        """
        if not arguments.token_value(token):
            # The server rejects a form without a token; a request without one has no user.
            return None
        return await self._make(calls.introspect(token))

    async def revoke(self, token: Token | str) -> None:
        """Revoke a token that a service received; an invalid token is not an error.

        Requires the id and secret of a registered client: with_service().
        """
        await self._make(calls.revoke(token))

    async def check_live(self) -> None:
        """Check that the server is running; raises UnreachableError."""
        await self._make(calls.check_live())

    async def check_ready(self) -> None:
        """Check that the server is ready; raises Unavailable, UnreachableError."""
        await self._make(calls.check_ready())

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
        # Outside the except block: an error below must not have the rejection as its context.
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

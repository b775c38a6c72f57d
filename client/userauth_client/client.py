"""The synchronous client; async_client.py is its twin."""

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
from userauth_client.credentials import Credential, Renew, SyncCredentialProvider
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


class UserAuthClient(BaseClient[Renew]):
    """Calls one server from any number of threads.

    Every method may raise the exceptions of userauth_client.errors.
    """

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
        httpx, for a certificate authority or a proxy of your own.
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

    def register(self, email: str, password: str, name: str | None = None) -> User:
        """Create an account; raises Conflict, InvalidFields, TooManyRequests."""
        return self._make(calls.register(email, password, name))

    def log_in(self, email: str, password: str) -> Token:
        """Return a new token; raises Unauthorized, Forbidden, TooManyRequests.

        This client does not change: with_token() returns one that sends the token.
        """
        return self._make(calls.log_in(email, password))

    def get_user(self) -> User:
        """Return the user whose credentials this client sends; raises Unauthorized."""
        return self._make(calls.get_user())

    def update_user(
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
        return self._make(calls.update_user(name, password, current_password))

    def delete_user(self, *, current_password: str | None = None) -> None:
        """Delete the account and all its tokens.

        Raises InvalidFields if the current password is wrong, or missing if the server
        requires it.
        """
        self._make(calls.delete_user(current_password))

    def log_out(self) -> None:
        """Revoke the token that this client sends; it is not renewed again.

        Raises Unauthorized if the token is no longer valid.
        """
        self._make(calls.log_out())

    def list_tokens(self) -> tuple[TokenRecord, ...]:
        """Return the valid tokens of the user, newest first."""
        return self._make(calls.list_tokens())

    def revoke_token(self, token_id: str, *, current_password: str | None = None) -> None:
        """Revoke one token by its id; raises NotFound if the user has no such valid token.

        Raises InvalidFields as delete_user() does.
        """
        self._make(calls.revoke_token(token_id, current_password))

    def revoke_tokens(
        self, *, keep_current: bool = False, current_password: str | None = None
    ) -> int:
        """Revoke all tokens of the user, or all others; return how many were revoked.

        If this revokes its own token, the client does not renew it. Raises InvalidFields as
        delete_user() does.
        """
        call = calls.revoke_tokens(keep_current=keep_current, current_password=current_password)
        return self._make(call)

    def list_events(self, *, limit: int | None = None, before: str | None = None) -> EventPage:
        """Return events of the account, newest first; ``limit`` is 1 to 100, by default 50."""
        return self._make(calls.list_events(limit, before))

    def verify(self) -> VerifiedUser:
        """Return the owner of this client's credentials, as a reverse proxy requests it."""
        return self._make(calls.verify())

    def introspect(self, token: Token | str) -> ActiveToken | None:
        """Return a token that a service received, with its owner; None if it is not valid.

        Requires the id and secret of a registered client: with_service().
        """
        if not arguments.token_value(token):
            # The server rejects a form without a token; a request without one has no user.
            return None
        return self._make(calls.introspect(token))

    def revoke(self, token: Token | str) -> None:
        """Revoke a token that a service received; an invalid token is not an error.

        Requires the id and secret of a registered client: with_service().
        """
        self._make(calls.revoke(token))

    def check_live(self) -> None:
        """Check that the server is running; raises UnreachableError."""
        self._make(calls.check_live())

    def check_ready(self) -> None:
        """Check that the server is ready; raises Unavailable, UnreachableError."""
        self._make(calls.check_ready())

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
        # Outside the except block: an error below must not have the rejection as its context.
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

"""The client for programs that wait; async_client.py has its twin."""

from types import TracebackType
from typing import Self

import httpx

from userauth_client import calls
from userauth_client.answers import (
    ActiveToken,
    EventPage,
    Token,
    TokenRecord,
    User,
    VerifiedUser,
)
from userauth_client.base import (
    MAX_ANSWER_BYTES,
    TIMEOUT_SECONDS,
    USER_AGENT,
    BaseClient,
    http_options,
)
from userauth_client.calls import UNSET, Call, Result, Unset
from userauth_client.errors import Unauthorized
from userauth_client.replies import Reply
from userauth_client.sessions import Held, Renew, SyncSession


class UserAuthClient(BaseClient[Renew]):
    """Calls one server, from any number of threads.

    All methods raise errors of the tree in userauth_client.errors.
    """

    _http: httpx.Client
    _session: SyncSession

    def __init__(
        self,
        base_url: str,
        *,
        token: Token | str | None = None,
        renew: Renew | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        user_agent: str = USER_AGENT,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Make a client; nothing is sent yet.

        ``renew`` is called where the token is refused, and returns another one. The time-out
        is for each step: to connect, to send, to wait for a piece of the answer. ``user_agent``
        is what people see in the list of their tokens. ``transport`` is one of httpx, with a
        certificate authority or a proxy of your own.
        """
        super().__init__(base_url, token=token, renew=renew, most_bytes=max_answer_bytes)
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
        """Close the connections; those that with_…() made use them, and do not close them."""
        if self._is_owner:
            self._http.close()

    def register(self, email: str, password: str, name: str | None = None) -> User:
        """Make an account; raises Conflict, InvalidFields, TooManyTries."""
        return self._make(calls.register(email, password, name))

    def log_in(self, email: str, password: str) -> Token:
        """Return a new token; raises Unauthorized, Forbidden, TooManyTries.

        This client goes on as before: with_token() gives one that presents it.
        """
        return self._make(calls.log_in(email, password))

    def get_user(self) -> User:
        """Return whom this client speaks for; raises Unauthorized."""
        return self._make(calls.get_user())

    def update_user(
        self,
        *,
        name: str | Unset | None = UNSET,
        password: str | None = None,
        current_password: str | None = None,
    ) -> User:
        """Change the name, where None removes it, or the password, or both.

        A new password ends every token of the user but the one that this client presents.
        Raises InvalidFields, also for a wrong or missing current password.
        """
        return self._make(calls.update_user(name, password, current_password))

    def delete_user(self, *, current_password: str | None = None) -> None:
        """Remove the account and all its tokens.

        Raises InvalidFields for a wrong current password, or a missing one where the server asks
        for it.
        """
        self._make(calls.delete_user(current_password))

    def log_out(self) -> None:
        """End the token that this client presents; it is renewed no more.

        Raises Unauthorized where the token was over before.
        """
        self._make(calls.log_out())

    def list_tokens(self) -> tuple[TokenRecord, ...]:
        """Return the good tokens of the user, newest first."""
        return self._make(calls.list_tokens())

    def end_token(self, token_id: str, *, current_password: str | None = None) -> None:
        """End one token, by its id; raises NotFound where it is not a good one of the user.

        Raises InvalidFields as delete_user() does.
        """
        self._make(calls.end_token(token_id, current_password))

    def end_tokens(self, *, keep_current: bool = False, current_password: str | None = None) -> int:
        """End all tokens of the user, or all others; return how many there were.

        Where its own token ends, this client renews no more. Raises InvalidFields as
        delete_user() does.
        """
        call = calls.end_tokens(keep_current=keep_current, current_password=current_password)
        return self._make(call)

    def list_events(self, *, limit: int | None = None, before: str | None = None) -> EventPage:
        """Return what happened to the account, newest first: up to 100 events, 50 if not said."""
        return self._make(calls.list_events(limit, before))

    def verify(self) -> VerifiedUser:
        """Return whose credentials this client presents, as a reverse proxy asks for it."""
        return self._make(calls.verify())

    def introspect(self, token: Token | str) -> ActiveToken | None:
        """Return what there is to know of a token that a service was handed; None: it is not good.

        For a client that presents a service: with_service().
        """
        return self._make(calls.introspect(token))

    def revoke(self, token: Token | str) -> None:
        """End a token that a service was handed, whatever it is.

        For a client that presents a service: with_service().
        """
        self._make(calls.revoke(token))

    def check_live(self) -> None:
        """Return where the server runs; raises UnreachableError."""
        self._make(calls.check_live())

    def check_ready(self) -> None:
        """Return where the server is ready to serve; raises Unavailable, UnreachableError."""
        self._make(calls.check_ready())

    def _open_session(self, authorization: str | None, renew: Renew | None) -> SyncSession:
        return SyncSession(authorization, renew)

    def _make(self, call: Call[Result]) -> Result:
        held = self._session.held
        try:
            return self._result(call, self._reply(call, held))
        except Unauthorized:
            if not self._session.may_renew(call):
                raise
        held = self._session.renewed(held)
        return self._result(call, self._reply(call, held))

    def _reply(self, call: Call[object], held: Held) -> Reply:
        request = self._request(call, held)
        with self._reaching():
            response = self._http.send(request, stream=True)
            try:
                gathering = self._gathering(response)
                for chunk in response.iter_raw():
                    gathering.add(chunk)
            finally:
                response.close()
        return gathering.reply()

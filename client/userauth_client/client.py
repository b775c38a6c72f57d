"""The synchronous client; async_client.py is the asyncio counterpart."""

from userauth_client import arguments, calls
from userauth_client.calls import UNSET, Unset
from userauth_client.models import (
    ActiveToken,
    EventPage,
    Token,
    TokenRecord,
    User,
    VerifiedUser,
)
from userauth_client.sending import SendingClient


class UserAuthClient(SendingClient):
    """Calls one server from any number of threads.

    Every method may raise the exceptions of userauth_client.errors.
    """

    def register(
        self, email: str, password: str, name: str | None = None, *, language: str | None = None
    ) -> User | None:
        """Create an account; raises Conflict, InvalidFields, TooManyRequests.

        Returns None if the server requires a verified email address: it then sends a message to it,
        whether or not the address is taken. Messages are in ``language`` if the server supports it.
        Raises Forbidden if registration is closed.
        """
        return self._make(calls.register(email, password, name, language))

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

        A new password revokes every token of the user except the one that this client sends.
        Raises InvalidFields, for example if the current password is wrong or missing.
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

        Raises InvalidFields like delete_user().
        """
        self._make(calls.revoke_token(token_id, current_password))

    def revoke_tokens(
        self, *, keep_current: bool = False, current_password: str | None = None
    ) -> int:
        """Revoke all tokens of the user, or all others; return how many were revoked.

        If this revokes its own token, the client does not renew it. Raises InvalidFields like
        delete_user().
        """
        call = calls.revoke_tokens(keep_current=keep_current, current_password=current_password)
        return self._make(call)

    def list_events(self, *, limit: int | None = None, before: str | None = None) -> EventPage:
        """Return events of the account, newest first; ``limit`` is 1 to 100, by default 50."""
        return self._make(calls.list_events(limit, before))

    def request_verification(self) -> None:
        """Request a message to verify the email address of the user."""
        self._make(calls.request_verification())

    def confirm_verification(self, *, token: str | None = None, code: str | None = None) -> User:
        """Verify the email address with the token in the link, or the code."""
        return self._make(calls.confirm_verification(token, code))

    def request_password_reset(self, email: str) -> str:
        """Request a message to reset a password; return the id of the request.

        The result is the same whether or not a user has the address.
        """
        return self._make(calls.request_password_reset(email))

    def confirm_password_reset(
        self,
        password: str,
        *,
        token: str | None = None,
        code: str | None = None,
        request: str | None = None,
    ) -> None:
        """Set a new password with the token in the link, or the code and the id of the request.

        This revokes every token of the user.
        """
        self._make(calls.confirm_password_reset(password, token, code, request))

    def change_email(self, email: str, current_password: str) -> None:
        """Request a message to another email address; confirm_email() then changes it.

        The result is the same whether or not another user has the address.
        """
        self._make(calls.change_email(email, current_password))

    def confirm_email(self, *, token: str | None = None, code: str | None = None) -> User:
        """Change the email address with the token in the link, or the code.

        Raises Conflict if another user has the address meanwhile.
        """
        return self._make(calls.confirm_email(token, code))

    def undo_email_change(
        self, *, token: str | None = None, code: str | None = None, request: str | None = None
    ) -> None:
        """Restore the email address that received the message, which a change replaced.

        This revokes every token of the user, disables the password, and sends a message to reset
        it.
        """
        self._make(calls.undo_email_change(token, code, request))

    def verify(self) -> VerifiedUser:
        """Return the owner of this client's credentials, with the call for reverse proxies."""
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

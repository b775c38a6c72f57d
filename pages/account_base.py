"""The base of the pages of an account: a session, and the current password for each change."""

from http import HTTPStatus
from typing import ClassVar

from pages.base import SHOWN, PageHandler
from pages.forms import Field
from pages.view import ACCOUNT
from rules.errors import TokenInvalid
from services.identities import Identity
from services.sessions import Session
from transport.response import Fields

CONFIRM = Field("current_password", "password", "current-password")


class AccountHandler(PageHandler):
    """A page for the user of a session."""

    calls: ClassVar = SHOWN
    requires_session = True

    @property
    def own_session(self) -> Session:
        """Return the session; without one, prepare() has redirected to the sign-in."""
        if self.session is None:
            raise TokenInvalid
        return self.session

    @property
    def identity(self) -> Identity:
        """Return the identity of the session."""
        return self.own_session.identity

    def show(self, status: int = HTTPStatus.OK, fields: Fields = (), **values: object) -> None:
        """Show the page of the user."""
        # The session is unknown while Postgres is unavailable; a form stays filled in.
        username = self.session.user.email if self.session is not None else ""
        super().show(status, fields, username=username, **values)

    def report(self, done: str, fields: Fields = (), path: str = ACCOUNT) -> None:
        """Go to a page of the account that reports the effect of the form."""
        self.go_to(f"{path}?done={done}", fields)

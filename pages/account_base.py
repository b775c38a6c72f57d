"""What the pages of an account share: a session, and the current password for each change."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

from contract.calls import Call
from pages.base import ACCOUNT, SHOW, PageHandler
from pages.forms import Field, FormView
from rules.errors import MailDisabled, TokenInvalid
from services.identities import Identity
from services.sessions import Session
from transport.response import Fields

CONFIRM = Field("current_password", "password", "current-password")
# What a page of the account reports after a form, by the parameter ``done`` of its address.
NOTICES = frozenset({"name", "email", "password", "verification", "device", "devices"})
SHOWN: Mapping[str, Call] = {"GET": SHOW, "HEAD": SHOW}


class AccountHandler(PageHandler):
    """A page for the user of a session."""

    calls: ClassVar = SHOWN
    requires_session = True

    @property
    def own_session(self) -> Session:
        """Return the session, without which prepare() has redirected to the sign-in."""
        if self.session is None:
            raise TokenInvalid
        return self.session

    @property
    def identity(self) -> Identity:
        """Return the identity of the session."""
        return self.own_session.identity

    @property
    def notice(self) -> str:
        """Return what the form before this page did, in words, or nothing."""
        done = self.get_query_argument("done", "")
        return self.texts(f"account-done.{done}") if done in NOTICES else ""

    def show(self, status: int = HTTPStatus.OK, fields: Fields = (), **values: object) -> None:
        """Show the page, with what the form before it did."""
        super().show(status, fields, **{"notice": self.notice, **values})

    def show_filled(self, **values: str) -> None:
        """Show the form with the values that the account has."""
        self.show(form=FormView(self.form.fields, values, {}))

    def report(self, done: str, fields: Fields = (), path: str = ACCOUNT) -> None:
        """Go to a page of the account that reports what the form did."""
        self.go_to(f"{path}?done={done}", fields)

    def require_mail(self) -> None:
        """Raise MailDisabled if this server sends no messages; then no form is shown."""
        if not self.application.services.outbox.is_on:
            self.is_form_accepted = False
            raise MailDisabled

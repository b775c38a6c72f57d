"""/ leads to the pages, and /.well-known/change-password to the page for a new password."""

from http import HTTPStatus
from typing import ClassVar

from pages.base import ACCOUNT, SHOW, PageHandler


class HomePage(PageHandler):
    calls: ClassVar = {"GET": SHOW, "HEAD": SHOW}
    target = ACCOUNT

    def get(self) -> None:
        self.respond(HTTPStatus.FOUND, (("Location", self.target), *self.fields_of_pages))


class ChangePasswordPage(HomePage):
    """A well-known URL for password managers (W3C, A Well-Known URL for Changing Passwords)."""

    target = f"{ACCOUNT}/password"


routes = [(r"/", HomePage), (r"/\.well-known/change-password", ChangePasswordPage)]

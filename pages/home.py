"""Redirects: /, /auth and /auth/ to the account, /.well-known/change-password to a new password."""

from http import HTTPStatus
from typing import ClassVar

from pages.base import SHOWN, PageHandler
from pages.view import ACCOUNT


class HomePage(PageHandler):
    calls: ClassVar = SHOWN
    target = ACCOUNT

    def get(self) -> None:
        self.respond(HTTPStatus.FOUND, (("Location", self.target), *self.fields_of_pages))


class RootPage(HomePage):
    """The URL of a page without its name."""


class ChangePasswordPage(HomePage):
    """A well-known URL for password managers (W3C, A Well-Known URL for Changing Passwords)."""

    target = f"{ACCOUNT}/password"


routes = [
    (r"/", HomePage),
    (r"/auth", RootPage),
    (r"/auth/", RootPage),
    (r"/\.well-known/change-password", ChangePasswordPage),
]

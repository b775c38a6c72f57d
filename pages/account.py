"""/auth/account: what a person can see and change of the account."""

from typing import ClassVar

from pages.base import SHOW, PageHandler


class AccountPage(PageHandler):
    calls: ClassVar = {"GET": SHOW, "HEAD": SHOW}
    template = "account"
    requires_session = True


routes = [(r"/auth/account", AccountPage)]

"""/auth/account: what a person can see and change of the account."""

from pages.account_base import AccountHandler


class AccountPage(AccountHandler):
    template = "account"
    notices = frozenset({"name", "email", "password", "verification"})


routes = [(r"/auth/account", AccountPage)]

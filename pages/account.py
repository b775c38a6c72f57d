"""/auth/account: the data of the account, and links to change it."""

from pages.account_base import AccountHandler


class AccountPage(AccountHandler):
    template = "account"
    notices = frozenset({"name", "email", "password", "verification"})


routes = [(r"/auth/account", AccountPage)]

"""/auth/account/password: a new password, which signs the user out everywhere else."""

from typing import ClassVar

from contract.fields import NewPassword
from pages.account_base import CONFIRM, AccountHandler
from pages.base import WITH_FORM
from pages.forms import NEW_PASSWORD, PageForm


class PasswordForm(PageForm):
    fields: ClassVar = (CONFIRM, NEW_PASSWORD)

    password: NewPassword
    current_password: str


class PasswordPage(AccountHandler):
    calls: ClassVar = WITH_FORM
    template = "account-password"
    form = PasswordForm

    async def post(self) -> None:
        services = self.application.services
        form = PasswordForm.of(self.parameters, services.accounts.find_errors)
        issued = services.sessions.sign_replacement(self.own_session, self.origin)
        await services.accounts.update(
            self.identity,
            origin=self.origin,
            password=form.password,
            current_password=form.current_password,
            replacement=issued,
        )
        max_age = issued.expires_in if issued.is_kept else None
        self.report("password", (self.cookies_of_pages.set_session(issued.token, max_age),))


routes = [(r"/auth/account/password", PasswordPage)]

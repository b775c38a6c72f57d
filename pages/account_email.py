"""/auth/account/email: the request of a change of the email address, and of its verification."""

from typing import ClassVar

from contract.fields import Email
from pages.account_base import CONFIRM, AccountHandler
from pages.base import SEND, WITH_FORM
from pages.forms import Field, PageForm
from pages.site import Site

_NEW_EMAIL = Field("email", "email", "email", "email", label="new_email")


class EmailForm(PageForm):
    fields: ClassVar = (_NEW_EMAIL, CONFIRM)

    email: Email
    current_password: str


class EmailPage(AccountHandler):
    calls: ClassVar = WITH_FORM
    template = "account-email"
    form = EmailForm

    def check_site(self, site: Site) -> None:
        site.require_messages()

    async def post(self) -> None:
        form = EmailForm.of(self.parameters)
        changes = self.application.services.email_change
        await changes.request(self.identity, form.email, form.current_password, self.origin)
        self.report("email")


class VerificationPage(AccountHandler):
    """Accepts the button that sends the message again; it changes nothing in the account."""

    calls: ClassVar = {"POST": SEND}

    def check_site(self, site: Site) -> None:
        site.require_messages()

    async def post(self) -> None:
        await self.application.services.verification.request(self.identity, self.origin)
        self.report("verification")


routes = [
    (r"/auth/account/email", EmailPage),
    (r"/auth/account/verification", VerificationPage),
]

"""/auth/forgot: the request of a message to set a new password."""

from typing import ClassVar

from pages.base import SEND, SHOW, PageHandler
from pages.forms import EMAIL, PageForm
from pages.queries import address
from rules.errors import MailDisabled


class ForgotForm(PageForm):
    fields: ClassVar = (EMAIL,)

    email: str


class ForgotPage(PageHandler):
    """Leads on in the same way for every address, to the page that takes the code."""

    calls: ClassVar = {"GET": SHOW, "HEAD": SHOW, "POST": SEND}
    template = "forgot"
    form = ForgotForm

    async def post(self) -> None:
        services = self.application.services
        if not services.outbox.is_on:
            raise MailDisabled
        form = ForgotForm.of(self.parameters)
        message_id = await services.password_reset.request(form.email, self.origin)
        self.go_to(address("/auth/reset", request=message_id, sent="yes", next=self.return_path))


routes = [(r"/auth/forgot", ForgotPage)]

"""/auth/forgot: the request of a message to set a new password."""

from typing import ClassVar

from pages.base import WITH_FORM, PageHandler
from pages.forms import EMAIL, PageForm
from pages.queries import with_query
from pages.site import Site


class ForgotForm(PageForm):
    fields: ClassVar = (EMAIL,)

    email: str


class ForgotPage(PageHandler):
    """Redirects to the page that accepts the code, in the same way for every email address."""

    calls: ClassVar = WITH_FORM
    template = "forgot"
    form = ForgotForm

    def check_site(self, site: Site) -> None:
        site.require_messages()

    async def post(self) -> None:
        form = ForgotForm.of(self.parameters)
        resets = self.application.services.password_reset
        message_id = await resets.request(form.email, self.origin)
        parameters = {"request": message_id, "done": "reset-sent", "next": self.return_path}
        self.go_to(with_query("/auth/reset", **parameters))


routes = [(r"/auth/forgot", ForgotPage)]

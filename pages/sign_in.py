"""/auth/sign-in: a session in exchange for a password."""

from typing import ClassVar

from pages.base import ACCOUNT, SEND, SHOW, PageHandler
from pages.forms import CURRENT_PASSWORD, EMAIL, Field, PageForm
from rules.credentials import password_credentials

_KEEP = Field("keep_signed_in", "checkbox", is_required=False)


class SignInForm(PageForm):
    fields: ClassVar = (EMAIL, CURRENT_PASSWORD, _KEEP)

    email: str
    password: str
    keep_signed_in: str = ""


class SignInPage(PageHandler):
    calls: ClassVar = {"GET": SHOW, "HEAD": SHOW, "POST": SEND}
    template = "sign-in"
    form = SignInForm

    async def post(self) -> None:
        form = SignInForm.of(self.parameters)
        services, cookies = self.application.services, self.cookies_of_pages
        credentials = password_credentials(form.email, form.password)
        identity = await services.identities.identify_by_password(credentials, self.origin)
        self.user_id = identity.user.id
        issued = await services.sessions.create(
            identity,
            self.origin,
            keep_signed_in=bool(form.keep_signed_in),
            replaced=self.get_cookie(cookies.session),
        )
        max_age = issued.expires_in if issued.is_kept else None
        field = cookies.set_session(issued.token, max_age)
        self.leave_to(self.return_path or ACCOUNT, (field,))


routes = [(r"/auth/sign-in", SignInPage)]

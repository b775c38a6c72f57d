"""/auth/sign-up: a new account."""

from typing import ClassVar

from pages.base import ACCOUNT, SEND, SHOW, SIGN_IN, PageHandler
from pages.describe import describe
from pages.forms import EMAIL, NEW_PASSWORD, PageForm
from pages.queries import address
from rules.credentials import password_credentials
from rules.errors import EmailTaken, Problem, RegistrationClosed
from settings.choices import Language
from transport.response import Fields


class SignUpForm(PageForm):
    fields: ClassVar = (EMAIL, NEW_PASSWORD)

    email: str
    password: str


class SignUpPage(PageHandler):
    calls: ClassVar = {"GET": SHOW, "HEAD": SHOW, "POST": SEND}
    template = "sign-up"
    form = SignUpForm

    async def post(self) -> None:
        registration = self.application.services.registration
        if not registration.is_open:
            raise RegistrationClosed
        form = SignUpForm.of(self.parameters, registration.find_errors)
        language = self.language if self.language in [*Language] else None
        user = await registration.register(
            email=form.email,
            password=form.password,
            name=None,
            language=language,
            origin=self.origin,
        )
        if user is None:
            self.go_to(address("/auth/verify", sent="yes", next=self.return_path))
        else:
            await self._sign_in(form)

    def show_form_again(
        self, problem: Problem, status: int, fields: Fields, **values: object
    ) -> None:
        if isinstance(problem, EmailTaken):
            errors = {"email": describe(self.texts, problem, self.pages.public_url)}
            self.show(status, fields, form=self.form_view(errors), **values)
        else:
            super().show_form_again(problem, status, fields, **values)

    async def _sign_in(self, form: SignUpForm) -> None:
        """Sign in; if that is not possible now, lead to the page for it: the account exists."""
        services, cookies = self.application.services, self.cookies_of_pages
        try:
            identity = await services.identities.identify_by_password(
                password_credentials(form.email, form.password), self.origin
            )
            self.user_id = identity.user.id
            issued = await services.sessions.create(
                identity,
                self.origin,
                keep_signed_in=False,
                replaced=self.get_cookie(cookies.session),
            )
        except Problem:
            self.go_to(address(SIGN_IN, next=self.return_path))
            return
        self.leave_to(self.return_path or ACCOUNT, (cookies.set_session(issued.token, None),))


routes = [(r"/auth/sign-up", SignUpPage)]

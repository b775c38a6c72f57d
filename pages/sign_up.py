"""/auth/sign-up: a new account."""

from typing import ClassVar

from pages.base import SIGN_IN, WITH_FORM
from pages.describe import describe
from pages.forms import EMAIL, NEW_PASSWORD, PageForm
from pages.queries import with_query
from pages.signing_in import SigningInHandler
from pages.site import Site
from pages.view import ACCOUNT
from rules.errors import EmailTaken, Problem
from settings.choices import Language
from transport.response import Fields


class SignUpForm(PageForm):
    fields: ClassVar = (EMAIL, NEW_PASSWORD)

    email: str
    password: str


class SignUpPage(SigningInHandler):
    calls: ClassVar = WITH_FORM
    template = "sign-up"
    form = SignUpForm

    def check_site(self, site: Site) -> None:
        site.require_registration()

    async def post(self) -> None:
        registration = self.application.services.registration
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
            self.go_to(with_query("/auth/verify", done="verification-sent", next=self.return_path))
        else:
            await self._sign_in_or_lead_there(form)

    def show_form_again(
        self, problem: Problem, status: int, fields: Fields, **values: object
    ) -> None:
        if isinstance(problem, EmailTaken):
            errors = {"email": describe(self.texts, problem, self.pages.public_url)}
            self.show(status, fields, form=self.form_view(errors), **values)
        else:
            super().show_form_again(problem, status, fields, **values)

    async def _sign_in_or_lead_there(self, form: SignUpForm) -> None:
        """Sign in; if that is not possible now, redirect to the sign-in: the account exists."""
        try:
            field = await self.sign_in(form.email, form.password, keep_signed_in=False)
        except Problem:
            self.go_to(with_query(SIGN_IN, next=self.return_path))
            return
        is_sent = self.application.services.registration.offers_verification
        account = f"{ACCOUNT}?done=verification" if is_sent else ACCOUNT
        self.leave_to(self.return_path or account, (field,))


routes = [(r"/auth/sign-up", SignUpPage)]

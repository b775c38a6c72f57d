"""/auth/sign-in: a session in exchange for a password."""

from typing import ClassVar

from pages.base import WITH_FORM
from pages.forms import CURRENT_PASSWORD, EMAIL, Field, PageForm
from pages.signing_in import SigningInHandler
from pages.view import ACCOUNT
from rules.errors import EmailUnverified, Problem
from transport.response import Fields

_KEEP = Field("keep_signed_in", "checkbox", is_required=False)


class SignInForm(PageForm):
    fields: ClassVar = (EMAIL, CURRENT_PASSWORD, _KEEP)

    email: str
    password: str
    keep_signed_in: str = ""


class SignInPage(SigningInHandler):
    calls: ClassVar = WITH_FORM
    template = "sign-in"
    form = SignInForm
    notices = frozenset({"reset", "verified", "undone", "undone-without-mail"})

    def show(self, status: int = 200, fields: Fields = (), **values: object) -> None:
        super().show(status, fields, **{"is_unverified": False, **values})

    def show_form_again(
        self, problem: Problem, status: int, fields: Fields, **values: object
    ) -> None:
        is_unverified = isinstance(problem, EmailUnverified)
        super().show_form_again(problem, status, fields, is_unverified=is_unverified, **values)

    async def post(self) -> None:
        form = SignInForm.of(self.parameters)
        keep_signed_in = bool(form.keep_signed_in)
        field = await self.sign_in(form.email, form.password, keep_signed_in=keep_signed_in)
        self.leave_to(self.return_path or ACCOUNT, (field,))


routes = [(r"/auth/sign-in", SignInPage)]

"""/auth/verify: the confirmation of the email address of an account, or of a new one.

In a session, a button confirms it. Otherwise the email address and the password identify the user,
who may be unverified.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from pages.base import SIGN_IN
from pages.forms import CODE, CURRENT_PASSWORD, EMAIL, TOKEN, FormView
from pages.proofs import ProofForm, ProofPage
from pages.queries import with_query
from rules.credentials import password_credentials
from services.identities import Identity
from transport.response import Fields

_PATH = "/auth/verify"


class VerifyForm(ProofForm):
    fields: ClassVar = (EMAIL, CURRENT_PASSWORD, TOKEN, CODE)

    email: str = ""
    password: str = ""
    send: str = ""


class VerifyPage(ProofPage):
    template = "verify"
    form = VerifyForm
    notices = frozenset({"verification-sent", "confirmed"})

    async def post(self) -> None:
        form, services = VerifyForm.of(self.parameters), self.application.services
        if form.send:
            self.site.require_messages()
        # A form without a secret is not worth a hash.
        self.require(*([] if form.send else ["code"]), *self._identifying_fields)
        identity = await self._identify(form)
        self.user_id = identity.user.id
        if form.send:
            await services.verification.request(identity, self.origin)
            # A URL with a fragment does not inherit that of the link.
            self.go_to(f"{with_query(_PATH, done='verification-sent', next=self.return_path)}#main")
            return
        await services.address_proofs.confirm(identity, form.proof, self.origin)
        path, done = (SIGN_IN, "verified") if self.session is None else (_PATH, "confirmed")
        self.go_to(f"{with_query(path, done=done, next=self.return_path)}#main")

    def show(self, status: int = 200, fields: Fields = (), **values: object) -> None:
        other = self.texts("verify.send") if self.site.sends_messages else ""
        super().show(status, fields, other_submit=other, **values)

    def form_view(self, errors: Mapping[str, str]) -> FormView:
        form = super().form_view(errors)
        return form if self.session is None else replace(form, fields=(TOKEN, CODE))

    @property
    def done(self) -> str:
        """Return what the previous page did; a URL alone confirms nothing."""
        done = super().done
        is_verified = self.session is not None and self.session.user.is_email_verified
        return "" if done == "confirmed" and not is_verified else done

    @property
    def _identifying_fields(self) -> Sequence[str]:
        return ("email", "password") if self.session is None else ()

    async def _identify(self, form: VerifyForm) -> Identity:
        if self.session is not None:
            return self.session.identity
        return await self.application.services.identities.identify(
            password_credentials(form.email, form.password), self.origin, may_be_unverified=True
        )


routes = [(_PATH, VerifyPage)]

"""/auth/reset: a new password through a message, also the first one of an invited user."""

from typing import ClassVar

from pages.base import SIGN_IN
from pages.forms import CODE, NEW_PASSWORD, REQUEST, TOKEN
from pages.proofs import ProofPage, RequestedProofForm
from pages.queries import with_query


class ResetForm(RequestedProofForm):
    fields: ClassVar = (REQUEST, TOKEN, CODE, NEW_PASSWORD)

    password: str


class ResetPage(ProofPage):
    template = "reset"
    form = ResetForm
    notices = frozenset({"reset-sent"})

    async def post(self) -> None:
        self.require("code", "password")
        form = ResetForm.of(self.parameters)
        resets = self.application.services.password_reset
        await resets.confirm(form.proof, form.password, self.origin)
        # A URL with a fragment does not inherit that of the link.
        self.go_to(f"{with_query(SIGN_IN, done='reset', next=self.return_path)}#main")


routes = [(r"/auth/reset", ResetPage)]

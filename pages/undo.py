"""/auth/undo: restores the old email address after a change by another person."""

from typing import ClassVar

from pages.base import SIGN_IN
from pages.forms import CODE, REQUEST, TOKEN, Field
from pages.proofs import ProofPage, RequestedProofForm
from pages.queries import with_query

# A program that checks the links in messages may press a button, but does not tick a box.
_RESTORE = Field("restore", "checkbox")


class UndoForm(RequestedProofForm):
    fields: ClassVar = (REQUEST, TOKEN, CODE, _RESTORE)

    restore: str = ""


class UndoPage(ProofPage):
    template = "undo"
    form = UndoForm

    async def post(self) -> None:
        self.require("code", "restore")
        form = UndoForm.of(self.parameters)
        await self.application.services.email_undo.undo(form.proof, self.origin)
        done = "undone" if self.site.sends_messages else "undone-without-mail"
        self.go_to(f"{with_query(SIGN_IN, done=done, next=self.return_path)}#main")


routes = [(r"/auth/undo", UndoPage)]

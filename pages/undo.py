"""/auth/undo: the old email address again, after a change by another person."""

from typing import ClassVar

from pages.base import SIGN_IN
from pages.forms import CODE, REQUEST, TOKEN, Field
from pages.proofs import ProofPage, RequestedProofForm
from rules.errors import FieldError, InvalidFields

# A program that checks the links of messages may press a button; it ticks nothing.
_RESTORE = Field("restore", "checkbox")


class UndoForm(RequestedProofForm):
    fields: ClassVar = (REQUEST, TOKEN, CODE, _RESTORE)

    restore: str = ""


class UndoPage(ProofPage):
    template = "undo"
    form = UndoForm

    async def post(self) -> None:
        form, services = UndoForm.of(self.parameters), self.application.services
        if not form.restore:
            raise InvalidFields([FieldError("restore", "is required")])
        await services.email_undo.undo(form.proof, self.origin)
        done = "undone" if services.outbox.is_on else "undone-without-mail"
        self.go_to(f"{SIGN_IN}?done={done}#main")


routes = [(r"/auth/undo", UndoPage)]

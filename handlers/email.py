"""/api/user/email: the change of the email address."""

from typing import ClassVar

from contract.calls import MESSAGE_PROBLEMS, Call, Guard, Response
from contract.documents import Empty, User, user_document
from contract.fields import CurrentPassword, Email
from contract.forms import Form
from contract.proofs import ProofByAnyone, ProofByUser
from handlers.base import BaseHandler
from rules.errors import (
    CodeInvalid,
    DatabaseUnavailable,
    EmailTaken,
    TooManyAttempts,
    TooManyWrites,
)


class NewEmail(Form):
    """The new address, and the current password."""

    email: Email
    current_password: CurrentPassword


class EmailHandler(BaseHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.USER,
            NewEmail,
            summary="Request a change of the email address",
            description="The message goes to the new address. The response is the same if another"
            " user has it; then nothing is sent.",
            response=Response("A message was stored if the address is free.", Empty, status=202),
            problems=(*MESSAGE_PROBLEMS, TooManyWrites, TooManyAttempts),
        )
    }

    async def post(self) -> None:
        form = self.body(NewEmail)
        changes = self.application.services.email_change
        await changes.request(self.identity, form.email, form.current_password, self.origin)
        self.send({}, 202)


class EmailConfirmHandler(BaseHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.USER,
            ProofByUser,
            summary="Change the email address with the link or the code",
            description="The call can be repeated. Tokens remain valid. If the old address was"
            " verified, a message to it can undo the change for seven days.",
            response=Response("The user, with the new address.", User),
            problems=(EmailTaken, CodeInvalid, TooManyAttempts, TooManyWrites),
        )
    }

    async def post(self) -> None:
        form = self.body(ProofByUser)
        changes = self.application.services.email_change
        self.send(user_document(await changes.confirm(self.identity, form.proof, self.origin)))


class EmailUndoHandler(BaseHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.ANYONE,
            ProofByAnyone,
            summary="Undo a change of the email address",
            description="Restores the old address, revokes every token, disables the password, and"
            " sends a message to reset it.",
            response=Response("The old address is restored.", Empty),
            problems=(CodeInvalid, TooManyAttempts, DatabaseUnavailable),
        )
    }

    async def post(self) -> None:
        form = self.body(ProofByAnyone)
        await self.application.services.email_undo.undo(form.proof, self.origin)
        self.send({})


routes = [
    (r"/api/user/email", EmailHandler),
    (r"/api/user/email/confirm", EmailConfirmHandler),
    (r"/api/user/email/undo", EmailUndoHandler),
]

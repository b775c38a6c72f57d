"""/api/user/password/reset: a new password in place of a forgotten one."""

from typing import ClassVar

from contract.calls import MESSAGE_PROBLEMS, Call, Guard, Response
from contract.documents import Empty, RequestedMessage
from contract.fields import Email, NewPassword
from contract.forms import Form
from contract.proofs import ProofByAnyone
from handlers.base import BaseHandler
from rules.errors import CodeInvalid, DatabaseUnavailable, Overloaded, TooManyAttempts


class ResetRequest(Form):
    """The email address of the account."""

    email: Email


class Reset(ProofByAnyone):
    """The secret of the message, and the new password."""

    password: NewPassword


class PasswordResetHandler(BaseHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.ANYONE,
            ResetRequest,
            summary="Request a message to reset the password",
            description="The response is the same whether or not a user has the address.",
            response=Response(
                "A message was stored if a user has the address.", RequestedMessage, status=202
            ),
            problems=MESSAGE_PROBLEMS,
        )
    }

    async def post(self) -> None:
        form = self.body(ResetRequest)
        resets = self.application.services.password_reset
        message_id = await resets.request(form.email, self.origin)
        self.send({"request": message_id}, 202)


class PasswordResetConfirmHandler(BaseHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.ANYONE,
            Reset,
            summary="Set a new password with the link or the code",
            description="Revokes every token, and verifies the email address. If it was never"
            " verified before, the name is removed: another person may have chosen it. This does"
            " not log in: log in next.",
            response=Response("The password is changed.", Empty),
            problems=(CodeInvalid, TooManyAttempts, DatabaseUnavailable, Overloaded),
        )
    }

    async def post(self) -> None:
        form = self.body(Reset)
        resets = self.application.services.password_reset
        await resets.confirm(form.proof, form.password, self.origin)
        self.send({})


routes = [
    (r"/api/user/password/reset", PasswordResetHandler),
    (r"/api/user/password/reset/confirm", PasswordResetConfirmHandler),
]

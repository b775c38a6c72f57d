"""/api/user/verification: the proof that the user owns the email address."""

from typing import ClassVar

from contract.calls import MESSAGE_PROBLEMS, Call, Guard, Response
from contract.documents import Empty, User, user_document
from contract.proofs import ProofByUser
from handlers.base import BaseHandler
from rules.errors import CodeInvalid, TooManyAttempts, TooManyWrites


class VerificationHandler(BaseHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.UNVERIFIED_USER,
            summary="Request a message to verify the email address",
            description="Nothing is sent if the address is already verified.",
            response=Response("The message is stored.", Empty, status=202),
            problems=(
                *MESSAGE_PROBLEMS,
                TooManyWrites,
            ),
        )
    }

    async def post(self) -> None:
        await self.application.services.verification.request(self.identity, self.origin)
        self.send({}, 202)


class VerificationConfirmHandler(BaseHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.UNVERIFIED_USER,
            ProofByUser,
            summary="Verify the email address with the link or the code",
            description="The call can be repeated.",
            response=Response("The user, with a verified address.", User),
            problems=(CodeInvalid, TooManyAttempts, TooManyWrites),
        )
    }

    async def post(self) -> None:
        form = self.body(ProofByUser)
        verification = self.application.services.verification
        user = await verification.confirm(self.identity, form.proof, self.origin)
        self.send(user_document(user))


routes = [
    (r"/api/user/verification", VerificationHandler),
    (r"/api/user/verification/confirm", VerificationConfirmHandler),
]

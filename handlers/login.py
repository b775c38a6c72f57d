"""/api/user/login: a token in exchange for a password."""

from typing import ClassVar

from contract.calls import Call, Guard, Response
from contract.documents import NewToken, new_token_document
from handlers.base import BaseHandler

_LOG_IN = Call(
    Guard.PASSWORD,
    summary="Log in",
    description="Requires email address and password: a token cannot renew itself.",
    response=Response("A new token.", NewToken),
)


class LoginHandler(BaseHandler):
    # No HEAD: it must not issue a token.
    calls: ClassVar = {"GET": _LOG_IN, "POST": _LOG_IN}

    async def get(self) -> None:
        issued = await self.application.services.tokens.log_in(self.identity, self.origin)
        self.send(new_token_document(issued))

    post = get


routes = [(r"/api/user/login", LoginHandler)]

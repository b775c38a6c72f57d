"""/api/user/tokens, /api/user/logout: the user's tokens."""

from typing import ClassVar

from contract.calls import Call, Guard, Link, Response
from contract.confirmation import CONFIRMED, Confirmation
from contract.documents import Revoked, Tokens, token_document
from contract.parameters import Flag
from handlers.base import BaseHandler
from rules.errors import NotFound, TooManyWrites

_KEEP_CURRENT = Flag("keep_current", "Whether the presented token stays valid.")
_LIST = Call(
    Guard.USER,
    summary="List the valid tokens",
    description="Describes the tokens without their values; an id grants no access.",
    response=Response(
        "The valid tokens, newest first.",
        Tokens,
        links=(Link("revoke", "deleteToken", "id", "$response.body#/tokens/0/id"),),
    ),
)


class LogoutHandler(BaseHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.TOKEN,
            summary="Log out",
            description="Revokes the presented token. A password is rejected.",
            response=Response("The token is revoked.", status=204),
            problems=(TooManyWrites,),
        )
    }

    async def post(self) -> None:
        await self.application.services.tokens.log_out(self.identity, self.origin)
        self.respond(204, ())


class TokensHandler(BaseHandler):
    calls: ClassVar = {
        "GET": _LIST,
        "HEAD": _LIST,
        "DELETE": Call(
            Guard.USER,
            Confirmation,
            body_is_optional=True,
            query=(_KEEP_CURRENT,),
            summary="Revoke all tokens",
            description=CONFIRMED,
            response=Response("How many tokens were revoked.", Revoked),
            problems=(TooManyWrites,),
        ),
    }

    async def get(self) -> None:
        found = await self.application.services.tokens.find_all(self.identity)
        current = self.identity.token_id
        self.send({"tokens": [token_document(row, current=row.id == current) for row in found]})

    head = get

    async def delete(self) -> None:
        revoked = await self.application.services.tokens.revoke_all(
            self.identity,
            self.origin,
            keep_current=self.query(_KEEP_CURRENT),
            current_password=self.body(Confirmation).current_password,
        )
        self.send({"revoked": revoked})


class TokenHandler(BaseHandler):
    calls: ClassVar = {
        "DELETE": Call(
            Guard.USER,
            Confirmation,
            body_is_optional=True,
            summary="Revoke a token",
            description=f"{CONFIRMED} The presented token can be revoked without it.",
            response=Response("The token is revoked.", status=204),
            problems=(NotFound, TooManyWrites),
        )
    }

    async def delete(self, token_id: str) -> None:
        await self.application.services.tokens.revoke(
            self.identity,
            token_id,
            self.origin,
            current_password=self.body(Confirmation).current_password,
        )
        self.respond(204, ())


routes = [
    (r"/api/user/logout", LogoutHandler),
    (r"/api/user/tokens", TokensHandler),
    (r"/api/user/tokens/([^/]+)", TokenHandler),
]

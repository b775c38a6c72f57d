"""/api/user/tokens, /api/user/logout: the tokens of whoever asks."""

from typing import ClassVar

from auth.errors import FieldError, InvalidFields
from handlers.base import BaseHandler, Call, Guard
from handlers.documents import token_document


class LogoutHandler(BaseHandler):
    calls: ClassVar = {"POST": Call(Guard.TOKEN)}

    async def post(self) -> None:
        await self.application.services.sessions.log_out(self.identity, self.origin)
        self.answer(204, ())


class TokensHandler(BaseHandler):
    calls: ClassVar = {
        "GET": Call(Guard.USER),
        "HEAD": Call(Guard.USER),
        "DELETE": Call(Guard.USER),
    }

    async def get(self) -> None:
        found = await self.application.services.sessions.find_all(self.identity)
        current = self.identity.token_id
        self.send({"tokens": [token_document(row, current=row.id == current) for row in found]})

    head = get

    async def delete(self) -> None:
        revoked = await self.application.services.sessions.end_all(
            self.identity, self.origin, keep_current=self._flag("keep_current")
        )
        self.send({"revoked": revoked})

    def _flag(self, name: str) -> bool:
        match self.get_query_arguments(name, strip=False):
            case [] | ["false"]:
                return False
            case ["true"]:
                return True
            case _:
                raise InvalidFields([FieldError(name, "must be true or false, once")])


class TokenHandler(BaseHandler):
    calls: ClassVar = {"DELETE": Call(Guard.USER)}

    async def delete(self, token_id: str) -> None:
        await self.application.services.sessions.end(self.identity, token_id, self.origin)
        self.answer(204, ())


routes = [
    (r"/api/user/logout", LogoutHandler),
    (r"/api/user/tokens", TokensHandler),
    (r"/api/user/tokens/([^/]+)", TokenHandler),
]

"""/api/token/introspect, /api/token/revoke: what services may do with a token."""

from typing import ClassVar

from handlers.base import BaseHandler, Call, Guard
from handlers.documents import introspection_document
from handlers.forms import UrlEncodedForm


class TokenForm(UrlEncodedForm):
    """The token that a service asks about (RFC 7662, section 2.1; RFC 7009, section 2.1)."""

    token: str


class IntrospectHandler(BaseHandler):
    calls: ClassVar = {"POST": Call(Guard.CLIENT, TokenForm)}

    async def post(self) -> None:
        form = self.body(TokenForm)
        found = await self.application.services.sessions.introspect(form.token)
        self.send(introspection_document(found))


class RevokeHandler(BaseHandler):
    calls: ClassVar = {"POST": Call(Guard.CLIENT, TokenForm)}

    async def post(self) -> None:
        form = self.body(TokenForm)
        await self.application.services.sessions.revoke(form.token, self.client_id, self.origin)
        # Whatever the token was: there is nothing left to do (RFC 7009, section 2.2).
        self.send({})


routes = [
    (r"/api/token/introspect", IntrospectHandler),
    (r"/api/token/revoke", RevokeHandler),
]

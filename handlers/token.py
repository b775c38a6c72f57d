"""/api/token/introspect, /api/token/revoke: what services may do with a token."""

from typing import ClassVar

from pydantic import Field

from contract.calls import Answer, Call, Guard
from contract.documents import ActiveToken, Empty, InactiveToken, introspection_document
from contract.forms import UrlEncodedForm
from handlers.base import BaseHandler
from rules.text_bounds import MAX_CODE_POINTS


class TokenForm(UrlEncodedForm):
    """The token that a service asks about (RFC 7662, section 2.1; RFC 7009, section 2.1)."""

    token: str = Field(json_schema_extra={"minLength": 1, "maxLength": MAX_CODE_POINTS})


class IntrospectHandler(BaseHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.CLIENT,
            TokenForm,
            summary="Tell whose token it is",
            text="RFC 7662.",
            answer=Answer("What there is to know of the token.", ActiveToken | InactiveToken),
        )
    }

    async def post(self) -> None:
        form = self.body(TokenForm)
        found = await self.application.services.tokens.introspect(form.token)
        self.send(introspection_document(found))


class RevokeHandler(BaseHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.CLIENT,
            TokenForm,
            summary="End a token",
            text="RFC 7009.",
            answer=Answer("The token is not good, whatever it was before.", Empty),
        )
    }

    async def post(self) -> None:
        form = self.body(TokenForm)
        await self.application.services.tokens.revoke_for_client(
            form.token, self.client_id, self.origin
        )
        # Whatever the token was: there is nothing left to do (RFC 7009, section 2.2).
        self.send({})


routes = [
    (r"/api/token/introspect", IntrospectHandler),
    (r"/api/token/revoke", RevokeHandler),
]

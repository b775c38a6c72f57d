"""/api/token/introspect, /api/token/revoke: the calls of services."""

from typing import ClassVar

from pydantic import Field

from contract.calls import Call, Guard, Response
from contract.documents import ActiveToken, Empty, InactiveToken, introspection_document
from contract.forms import UrlEncodedForm
from handlers.base import BaseHandler
from rules.errors import Problem, Unauthorized
from rules.text_bounds import MAX_CODE_POINTS
from transport.response import Fields


class TokenForm(UrlEncodedForm):
    """A token that a service received (RFC 7662, section 2.1; RFC 7009, section 2.1)."""

    token: str = Field(json_schema_extra={"minLength": 1, "maxLength": MAX_CODE_POINTS})


class _ServiceHandler(BaseHandler):
    """A path for services, which authenticate with Basic only."""

    def problem_fields(self, problem: Problem) -> Fields:
        """Return the header fields of an error, without a Bearer challenge."""
        return problem.basic_challenge if isinstance(problem, Unauthorized) else problem.headers


class IntrospectHandler(_ServiceHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.CLIENT,
            TokenForm,
            summary="Introspect a token",
            description="RFC 7662.",
            response=Response("The token's properties.", ActiveToken | InactiveToken),
        )
    }

    async def post(self) -> None:
        form = self.body(TokenForm)
        found = await self.application.services.tokens.introspect(form.token)
        self.send(introspection_document(found))


class RevokeHandler(_ServiceHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.CLIENT,
            TokenForm,
            summary="Revoke a token",
            description="RFC 7009.",
            response=Response("The token is not valid, whatever it was before.", Empty),
        )
    }

    async def post(self) -> None:
        form = self.body(TokenForm)
        await self.application.services.tokens.revoke_for_client(
            form.token, self.client_id, self.origin
        )
        # The same for a token that was not valid (RFC 7009, section 2.2).
        self.send({})


routes = [
    (r"/api/token/introspect", IntrospectHandler),
    (r"/api/token/revoke", RevokeHandler),
]

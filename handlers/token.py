"""/api/token/introspect, /api/token/revoke: the calls of registered clients."""

from typing import ClassVar

from pydantic import Field

from contract.calls import Call, Guard, Response
from contract.documents import (
    ActiveToken,
    Empty,
    InactiveToken,
    ProblemDocument,
    introspection_document,
)
from contract.forms import UrlEncodedForm
from handlers.base import BaseHandler
from rules.credentials import Credentials
from rules.errors import Problem, Unauthorized
from rules.text_bounds import MAX_CODE_POINTS
from services.clients import CREDENTIALS_WANTED
from transport.response import Fields

# The errors in the query or the body.
_INVALID_REQUEST = frozenset({400, 413, 415, 422})


class TokenForm(UrlEncodedForm):
    """A token that a client received (RFC 7662, section 2.1; RFC 7009, section 2.1)."""

    token: str = Field(json_schema_extra={"minLength": 1, "maxLength": MAX_CODE_POINTS})


class _ClientHandler(BaseHandler):
    """A path for clients: they authenticate with Basic only and read the errors of OAuth 2.0."""

    def problem_document(self, problem: Problem) -> ProblemDocument:
        """Return the document of an error, with its code in OAuth 2.0 (RFC 6749, section 5.2)."""
        document = super().problem_document(problem)
        if isinstance(problem, Unauthorized):
            return {**document, "error": "invalid_client"}
        if problem.status in _INVALID_REQUEST:
            return {**document, "error": "invalid_request"}
        return document

    def problem_fields(self, problem: Problem) -> Fields:
        """Return the header fields of an error, without a Bearer challenge."""
        return problem.basic_challenge if isinstance(problem, Unauthorized) else problem.headers

    def _credentials(self) -> Credentials | None:
        """Return the credentials; the details of errors are about those of a client."""
        try:
            return super()._credentials()
        except Unauthorized as error:
            raise type(error)(CREDENTIALS_WANTED) from error


class IntrospectHandler(_ClientHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.CLIENT,
            TokenForm,
            summary="Introspect a token",
            description="Returns whether a token is valid, and its user (RFC 7662). Only a token is"
            " read from the form; other parameters are ignored.",
            response=Response("The token's properties.", ActiveToken | InactiveToken),
        )
    }

    async def post(self) -> None:
        form = self.body(TokenForm)
        found = await self.application.services.tokens.introspect(form.token)
        self.send(introspection_document(found))


class RevokeHandler(_ClientHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.CLIENT,
            TokenForm,
            summary="Revoke a token as a client",
            description="Succeeds for any token, even an unknown one (RFC 7009).",
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

"""/api/user/login: a token in exchange for a password."""

from typing import ClassVar

from pydantic import ConfigDict, Field

from contract.calls import Call, Guard, Response
from contract.documents import NewToken, new_token_document
from contract.fields import CurrentPassword
from contract.forms import Form, NoFields
from handlers.base import BaseHandler
from rules.credentials import Credentials, password_credentials
from rules.errors import InvalidFields, MalformedRequest
from rules.text_bounds import MAX_CODE_POINTS

_NEW_TOKEN = Response("A new token.", NewToken)


class Login(Form):
    """The email address and the password of a user, in place of `Authorization`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "susan@example.com", "password": "correct horse battery"}]
        }
    )

    email: str = Field(json_schema_extra={"maxLength": MAX_CODE_POINTS})
    password: CurrentPassword


class LoginHandler(BaseHandler):
    # No HEAD: it must not issue a token.
    calls: ClassVar = {
        "GET": Call(
            Guard.PASSWORD,
            summary="Log in with Basic credentials",
            description="Requires email address and password: a token cannot renew itself.",
            response=_NEW_TOKEN,
        ),
        "POST": Call(
            Guard.LOGIN,
            Login,
            body_is_optional=True,
            summary="Log in",
            description="Send the email address and the password in the body, or in"
            " `Authorization` without a body, but not in both (400). A token cannot renew itself.",
            response=_NEW_TOKEN,
        ),
    }

    async def get(self) -> None:
        issued = await self.application.services.tokens.log_in(self.identity, self.origin)
        self.send(new_token_document(issued))

    async def post(self) -> None:
        if self.request.body and self._has_authorization:
            self._reject_body()
        await self.get()

    @property
    def _has_authorization(self) -> bool:
        return "Authorization" in self.request.headers

    def _credentials(self) -> Credentials | None:
        has_body = self.request.body or self.exchange.is_body_too_large
        if self.request.method != "POST" or self._has_authorization or not has_body:
            return super()._credentials()
        self.check_body(Login)
        form = self.body(Login)
        return password_credentials(form.email, form.password)

    def _reject_body(self) -> None:
        """Reject a body with fields; some libraries always send an object without any."""
        try:
            self.body(NoFields)
        except InvalidFields as error:
            raise MalformedRequest(
                "Send the email address and the password in Authorization or in the body, not both."
            ) from error


routes = [(r"/api/user/login", LoginHandler)]

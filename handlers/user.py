"""/api/user and /api/user/register: the user's account."""

from typing import ClassVar

from pydantic import ConfigDict, Field, model_validator

from contract.calls import Call, Guard, HeaderField, Response
from contract.confirmation import CONFIRMED, Confirmation
from contract.documents import Empty, User, user_document
from contract.fields import CurrentPassword, Email, Name, NewPassword
from contract.forms import Form
from handlers.base import BaseHandler
from rules.errors import (
    DatabaseUnavailable,
    EmailTaken,
    Overloaded,
    RegistrationClosed,
    TooManyAttempts,
    TooManyMessages,
    TooManyWrites,
)
from services.accounts import UNSET
from settings.choices import Language
from transport.languages import find_language

_READ = Call(
    Guard.USER,
    summary="Read the user",
    description="Returns the user that the credentials belong to.",
    response=Response("The user.", User),
)


class Registration(Form):
    """The email address, password and name of a new user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "email": "susan@example.com",
                    "password": "correct horse battery",
                    "name": "Susan",
                }
            ]
        }
    )

    email: Email
    password: NewPassword
    name: Name | None = None


class UserChanges(Form):
    """The changes of a user; a null name removes it.

    ``current_password`` is verified whenever it is sent.
    """

    model_config = ConfigDict(
        json_schema_extra={
            # Requires a name or a password. Client generators drop a schema with ``anyOf``.
            "not": {"propertyNames": {"enum": ["current_password"]}},
            "examples": [{"name": "Susan Miller"}],
        }
    )

    name: Name | None = None
    password: NewPassword = Field(default_factory=str)
    current_password: CurrentPassword | None = None

    @model_validator(mode="after")
    def _require_one(self) -> "UserChanges":
        if not self.model_fields_set & {"name", "password"}:
            raise ValueError("must have a name, a password, or both")
        return self


class RegisterHandler(BaseHandler):
    calls: ClassVar = {
        "POST": Call(
            Guard.ANYONE,
            Registration,
            summary="Register",
            description="Creates a user. This does not log in: log in next. If the server requires"
            " a verified email address, the response is 202, for a taken address too: the"
            " message that was sent says how to go on.",
            response=Response(
                "The new user.",
                User,
                status=201,
                fields=(HeaderField("Location", "The path of the user: `/api/user`."),),
                alternative=Response(
                    "A message was stored: the address has to be verified.", Empty, 202
                ),
            ),
            problems=(
                RegistrationClosed,
                EmailTaken,
                TooManyAttempts,
                TooManyMessages,
                DatabaseUnavailable,
                Overloaded,
            ),
        )
    }

    def check_enabled(self, call: Call) -> None:
        if not self.application.services.registration.is_open:
            raise RegistrationClosed
        super().check_enabled(call)

    async def post(self) -> None:
        registration = self.application.services.registration
        form = self.body(Registration, registration.find_errors)
        user = await registration.register(
            email=form.email,
            password=form.password,
            name=form.name,
            language=find_language(self.request.headers, Language),
            origin=self.origin,
        )
        if user is None:
            self.send({}, 202)
        else:
            self.send(user_document(user), 201, (("Location", "/api/user"),))


class UserHandler(BaseHandler):
    calls: ClassVar = {
        "GET": _READ,
        "HEAD": _READ,
        "PATCH": Call(
            Guard.USER,
            UserChanges,
            summary="Change name or password",
            description="A new password revokes every token but the presented one.",
            response=Response("The changed user.", User),
            problems=(TooManyWrites,),
        ),
        "DELETE": Call(
            Guard.USER,
            Confirmation,
            body_is_optional=True,
            summary="Delete the user",
            description=f"Every token is revoked. {CONFIRMED}",
            response=Response("The user is deleted.", Empty),
            problems=(TooManyWrites,),
        ),
    }

    def get(self) -> None:
        self.send(user_document(self.identity.user))

    head = get

    async def patch(self) -> None:
        accounts = self.application.services.accounts
        form = self.body(UserChanges, accounts.find_errors)
        user = await accounts.update(
            self.identity,
            origin=self.origin,
            name=form.name if "name" in form.model_fields_set else UNSET,
            password=form.password if "password" in form.model_fields_set else UNSET,
            current_password=form.current_password,
        )
        self.send(user_document(user))

    async def delete(self) -> None:
        form = self.body(Confirmation)
        await self.application.services.accounts.delete(
            self.identity, self.origin, current_password=form.current_password
        )
        self.send({})


routes = [
    (r"/api/user", UserHandler),
    (r"/api/user/register", RegisterHandler),
]

"""/api/user and /api/user/register: the account of whoever asks."""

from typing import ClassVar

from pydantic import model_validator

from auth.accounts import UNSET
from handlers.base import BaseHandler, Call, Guard
from handlers.documents import user_document
from handlers.forms import Form


class Registration(Form):
    """What it takes to register."""

    email: str
    password: str
    name: str | None = None


class UserChanges(Form):
    """What can be changed; a name of null removes it. A new password may need the current one."""

    name: str | None = None
    password: str = ""
    current_password: str | None = None

    @model_validator(mode="after")
    def _require_one(self) -> "UserChanges":
        if not self.model_fields_set & {"name", "password"}:
            raise ValueError("must have a name, a password, or both")
        return self


class RegisterHandler(BaseHandler):
    calls: ClassVar = {"POST": Call(Guard.ANYONE, Registration)}

    async def post(self) -> None:
        form = self.body(Registration)
        user = await self.application.services.accounts.register(
            email=form.email, password=form.password, name=form.name, origin=self.origin
        )
        self.send(user_document(user), 201, (("Location", "/api/user"),))


class UserHandler(BaseHandler):
    calls: ClassVar = {
        "GET": Call(Guard.USER),
        "HEAD": Call(Guard.USER),
        "PATCH": Call(Guard.USER, UserChanges),
        "DELETE": Call(Guard.USER),
    }

    def get(self) -> None:
        self.send(user_document(self.identity.user))

    head = get

    async def patch(self) -> None:
        form = self.body(UserChanges)
        user = await self.application.services.accounts.update(
            self.identity,
            origin=self.origin,
            name=form.name if "name" in form.model_fields_set else UNSET,
            password=form.password if "password" in form.model_fields_set else UNSET,
            current_password=form.current_password,
        )
        self.send(user_document(user))

    async def delete(self) -> None:
        await self.application.services.accounts.delete(self.identity, self.origin)
        self.send({})


routes = [
    (r"/api/user", UserHandler),
    (r"/api/user/register", RegisterHandler),
]

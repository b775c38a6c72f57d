"""/auth/account/name: the name of the user."""

from collections.abc import Mapping
from typing import ClassVar

from contract.fields import Name
from pages.account_base import CONFIRM, AccountHandler
from pages.base import WITH_FORM
from pages.forms import Field, PageForm

_NAME = Field("name", autocomplete="name", is_required=False)


class NameForm(PageForm):
    """The new name; an empty one removes the name."""

    fields: ClassVar = (_NAME, CONFIRM)

    name: Name | None = None
    current_password: str


class NamePage(AccountHandler):
    calls: ClassVar = WITH_FORM
    template = "account-name"
    form = NameForm

    @property
    def initial_values(self) -> Mapping[str, str]:
        return {"name": self.own_session.user.name or ""}

    async def post(self) -> None:
        accounts = self.application.services.accounts
        form = NameForm.of(self.parameters, accounts.find_errors)
        await accounts.update(
            self.identity,
            origin=self.origin,
            name=form.name,
            current_password=form.current_password,
        )
        self.report("name")


routes = [(r"/auth/account/name", NamePage)]

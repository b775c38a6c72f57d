"""/auth/account/delete: the deletion of the account, and the page that reports it."""

from typing import ClassVar

from pages.account_base import CONFIRM, AccountHandler
from pages.base import SHOWN, WITH_FORM, PageHandler
from pages.forms import Field, PageForm
from pages.sign_out import CLEAR_CACHE
from pages.view import ACCOUNT

_UNDERSTOOD = Field("understood", "checkbox")
_DELETED = f"{ACCOUNT}/deleted"


class DeleteForm(PageForm):
    fields: ClassVar = (_UNDERSTOOD, CONFIRM)

    understood: str
    current_password: str


class DeletePage(AccountHandler):
    calls: ClassVar = WITH_FORM
    template = "account-delete"
    form = DeleteForm

    async def post(self) -> None:
        form = DeleteForm.of(self.parameters)
        await self.application.services.accounts.delete(
            self.identity, self.origin, current_password=form.current_password
        )
        self.go_to(_DELETED, (self.cookies_of_pages.delete_session(), CLEAR_CACHE))


class DeletedPage(PageHandler):
    """Shown without a session, and the same to everyone."""

    calls: ClassVar = SHOWN
    template = "account-deleted"

    def get(self) -> None:
        if self.session is None:
            self.show()
        else:
            self.go_to(ACCOUNT)


routes = [(r"/auth/account/delete", DeletePage), (r"/auth/account/deleted", DeletedPage)]

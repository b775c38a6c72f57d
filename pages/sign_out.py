"""/auth/sign-out: the end of a session."""

from typing import ClassVar

from pages.base import SEND, SHOW, SIGN_IN, PageHandler

# Pages that were shown to the person who signed out must not be read from the browser's cache.
_CLEAR_CACHE = ("Clear-Site-Data", '"cache"')


class SignOutPage(PageHandler):
    calls: ClassVar = {"GET": SHOW, "HEAD": SHOW, "POST": SEND}
    template = "sign-out"

    async def post(self) -> None:
        if self.session is not None:
            await self.application.services.sessions.end(self.session, self.origin)
        self.go_to(SIGN_IN, (self.cookies_of_pages.delete_session(), _CLEAR_CACHE))


routes = [(r"/auth/sign-out", SignOutPage)]

"""/auth/sign-out: the revocation of a session."""

from typing import ClassVar

from pages.base import SIGN_IN, WITH_FORM, PageHandler

# Pages that the person saw before the sign-out must not be read from the browser's cache.
CLEAR_CACHE = ("Clear-Site-Data", '"cache"')


class SignOutPage(PageHandler):
    """Repeatable: a second tab may already have signed out, or the session may have expired."""

    calls: ClassVar = WITH_FORM
    template = "sign-out"
    needs_form_token = False

    async def post(self) -> None:
        cookies = self.cookies_of_pages
        if self.session is not None:
            await self.application.services.sessions.revoke(self.session, self.origin)
        if self.get_cookie(cookies.session) is None:
            # Another site may have sent the form: the browser then withholds the cookie.
            self.go_to(SIGN_IN)
        else:
            self.go_to(SIGN_IN, (cookies.delete_session(), CLEAR_CACHE))


routes = [(r"/auth/sign-out", SignOutPage)]

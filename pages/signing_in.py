"""Pages whose form begins a session."""

from pages.base import PageHandler
from rules.credentials import password_credentials


class SigningInHandler(PageHandler):
    """A page that signs a person in by email address and password."""

    async def sign_in(self, email: str, password: str, *, keep_signed_in: bool) -> tuple[str, str]:
        """Begin a session, in place of the browser's; return the field that sets its cookie.

        Raises what Identities.identify_by_password() and Sessions.create() raise.
        """
        services, cookies = self.application.services, self.cookies_of_pages
        credentials = password_credentials(email, password)
        identity = await services.identities.identify_by_password(credentials, self.origin)
        self.user_id = identity.user.id
        issued = await services.sessions.create(
            identity,
            self.origin,
            keep_signed_in=keep_signed_in,
            replaced=self.get_cookie(cookies.session),
        )
        return cookies.set_session(issued.token, issued.expires_in if issued.is_kept else None)

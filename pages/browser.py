"""The browser of a page: its connection, language and cookies, and the form that it sent."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

from handlers.input import InputHandler
from pages.context import PageContext
from pages.cookies import Cookies, new_form_cookie
from pages.fields import security_fields
from pages.site import Site
from pages.texts import Texts
from rules.errors import CrossSiteRequest, HttpsRequired, Problem, TokenInvalid
from rules.form_tokens import is_form_token, issue_form_token
from services.sessions import Session
from transport.cors import is_from_another_origin
from transport.response import Fields


class BrowserHandler(InputHandler):
    """A path that a browser requests for a person."""

    requires_session: ClassVar[bool] = False

    # Tornado passes the arguments of the route.
    def initialize(self, pages: PageContext) -> None:  # type: ignore[override]
        super().initialize()
        self.pages = pages
        self.session: Session | None = None
        self.parameters: Mapping[str, str] = {}
        # Whether an error is shown in the form that was sent.
        self.is_form_accepted = False
        self._new_form_cookie: str | None = None

    @property
    def is_secure(self) -> bool:
        """Return whether the browser uses HTTPS."""
        return self.application.addresses.used_https(self.request)

    @property
    def cookies_of_pages(self) -> Cookies:
        """Return the cookies with the names that this connection allows."""
        return Cookies(self.is_secure)

    @property
    def site(self) -> Site:
        """Return the site that the page belongs to."""
        return self.pages.renderer.site

    @property
    def language(self) -> str:
        """Return the language of the page."""
        return self.pages.language_of(self.request, self.cookies_of_pages)

    @property
    def texts(self) -> Texts:
        """Return the texts in the language of the page."""
        return self.pages.renderer.languages[self.language]

    @property
    def fields_of_pages(self) -> Fields:
        """Return the header fields of every response to this request."""
        fields = security_fields(is_secure=self.is_secure)
        if self._new_form_cookie is None:
            return fields
        return (*fields, self.cookies_of_pages.set_form(self._new_form_cookie))

    def problem_fields(self, problem: Problem) -> Fields:
        """Return the header fields of an error that is a document."""
        return (*super().problem_fields(problem), *self.fields_of_pages)

    @property
    def _lacks_https(self) -> bool:
        return self.application.require_https and not self.is_secure

    def redirects_to_https(self) -> bool:
        """Return whether a redirect to HTTPS was the response; raise HttpsRequired for a form."""
        try:
            self.check_https()
        except HttpsRequired:
            if not self.pages.public_url or self.request.method not in {"GET", "HEAD"}:
                raise
            query = f"?{self.request.query}" if self.request.query else ""
            location = f"{self.pages.public_url}{self.request.path}{query}"
            fields = (("Location", location), *self.fields_of_pages)
            self.respond(HTTPStatus.PERMANENT_REDIRECT, fields)
            return True
        return False

    async def find_session(self) -> Session | None:
        """Return the session of the browser, or None if it has no valid one."""
        cookie = self.get_cookie(self.cookies_of_pages.session)
        if not cookie:
            return None
        try:
            return await self.application.services.sessions.identify(cookie, self.origin)
        except TokenInvalid:
            return None

    def form_token(self) -> str:
        """Return the token for the page's forms, which the next request may send."""
        cookies = self.cookies_of_pages
        # While Postgres is unavailable, a form stays bound to its session.
        is_bound = self.session is not None or self.requires_session
        value = (self.get_cookie(cookies.session) if is_bound else None) or (
            self.get_cookie(cookies.form) or self._new_form_cookie
        )
        if not value and self._lacks_https:
            # No form is accepted, and a cookie would lack Secure.
            return ""
        if not value:
            value = self._new_form_cookie = new_form_cookie()
        return issue_form_token(self.application.services.signer.keys[0], value)

    def check_sender(self) -> None:
        """Raise CrossSiteRequest if the browser reports that a page of another site sent a form."""
        headers, own = self.request.headers, self.pages.public_url
        if own and "Sec-Fetch-Site" not in headers and headers.get("Origin") == own:
            # A proxy may have changed Host.
            return
        if is_from_another_origin(headers, may_be_opaque=True):
            raise CrossSiteRequest

    def check_form_token(self) -> None:
        """Raise CrossSiteRequest for a form that no page in this browser contained.

        Once a session is known, only its tokens are accepted. Before, a form may be older than the
        sign-in, in another tab.
        """
        cookies = self.cookies_of_pages
        names = (cookies.session, cookies.form) if self.session is None else (cookies.session,)
        values = [value for name in names if (value := self.get_cookie(name))]
        keys = self.application.services.signer.keys
        if not is_form_token(self.parameters.get("form_token", ""), keys, values):
            raise CrossSiteRequest

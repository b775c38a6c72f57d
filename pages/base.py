"""What all pages share: the checks of a request, the session, and how a page is sent."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote

from contract.calls import Call, Response
from contract.forms import read_parameters
from handlers.input import InputHandler
from pages.context import PageContext
from pages.cookies import Cookies, new_form_cookie
from pages.describe import describe
from pages.forms import FormView, PageForm
from pages.texts import Texts
from rules.errors import (
    CrossSiteRequest,
    HttpsRequired,
    InvalidFields,
    Problem,
    TokenInvalid,
)
from rules.form_tokens import is_form_token, issue_form_token
from rules.return_path import find_return_path, read_return_path
from services.sessions import Session
from settings.choices import Language
from transport.cors import is_from_another_origin
from transport.languages import find_language
from transport.response import Fields

HTML = ("Content-Type", "text/html; charset=UTF-8")
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY: Fields = (
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
)
_HSTS = ("Strict-Transport-Security", "max-age=31536000")
ACCOUNT = "/auth/account"
SIGN_IN = "/auth/sign-in"
# The parameters of every form.
COMMON = ("form_token", "next")
SHOW = Call(summary="Show the page", response=Response("A page."))
SEND = Call(body=PageForm, summary="Send the form", response=Response("A page.", status=303))


class PageHandler(InputHandler):
    """A page. GET and HEAD show it, and change nothing; POST takes its form, if it has one."""

    ignores_unknown_parameters = True
    form: ClassVar[type[PageForm]] = PageForm
    template: ClassVar[str]
    requires_session: ClassVar[bool] = False

    # Tornado passes the arguments of the route.
    def initialize(self, pages: PageContext) -> None:  # type: ignore[override]
        super().initialize()
        self.pages = pages
        self.session: Session | None = None
        self._parameters: Mapping[str, str] = {}
        self._new_form_cookie: str | None = None

    async def prepare(self) -> None:
        """Reject what can be rejected before the method runs.

        The order is that of the contract: path, method, media type and size, form, its token,
        session.
        """
        self.begin()
        if self.request.method == "OPTIONS" and self.allowed_methods:
            return
        if self.application.require_https and not self.is_secure:
            self._require_https()
            return
        call = self.find_call()
        self.check_input(call)
        if self.request.method == "POST":
            self._parameters = read_parameters(
                self.request.body, {*self.form.model_fields, *COMMON}
            )
            self._check_form_token()
        self.session = await self._find_session()
        if self.session is not None:
            self.user_id = self.session.user.id
        elif self.requires_session:
            self.go_to(f"{SIGN_IN}?next={quote(self._next_after_sign_in, safe='')}")

    def options(self, *_path: str) -> None:
        """Respond with the methods of the path (RFC 9110, section 9.3.7)."""
        self.respond(HTTPStatus.NO_CONTENT, (("Allow", ", ".join(self.allowed_methods)),))

    def get(self) -> None:
        """Show the page."""
        self.show()

    def head(self) -> None:
        """Respond as to GET, without the page."""
        self.get()

    @property
    def is_secure(self) -> bool:
        """Return whether the browser uses HTTPS."""
        return self.application.addresses.used_https(self.request)

    @property
    def cookies_of_pages(self) -> Cookies:
        """Return the cookies as this connection allows them."""
        return Cookies(self.is_secure)

    @property
    def language(self) -> Language:
        """Return the language that the person chose, or else that the browser prefers."""
        chosen = self.get_cookie(self.cookies_of_pages.language)
        if chosen is not None and chosen in [*Language]:
            return Language(chosen)
        found = find_language(self.request.headers, Language)
        return Language(found) if found else self.pages.language

    @property
    def texts(self) -> Texts:
        """Return the texts in the language of the page."""
        return self.pages.renderer.texts(self.language)

    @property
    def return_path(self) -> str | None:
        """Return the path of this host to go to afterwards, from the form or the query."""
        if self.request.method == "POST":
            return read_return_path(self._parameters.get("next"))
        return find_return_path(self.request.query)

    @property
    def parameters(self) -> Mapping[str, str]:
        """Return the parameters of the form that was sent."""
        return self._parameters

    def show(self, status: int = 200, fields: Fields = (), **values: object) -> None:
        """Show the page of this handler."""
        self.show_template(self.template, status, fields, **values)

    def show_template(
        self, template: str, status: int = 200, fields: Fields = (), **values: object
    ) -> None:
        """Show a page by its template."""
        token = self._form_token()
        given = {
            "form": self.form_view({}),
            "next": self.return_path or "",
            "session": self.session,
            "path": self.request.path,
            "here": read_return_path(self.request.uri) or ACCOUNT,
            "message": "",
            **values,
        }
        body = self.pages.renderer.render(template, self.language, form_token=token, **given)
        self.respond(status, (HTML, *self._page_fields(), *fields), body)

    def go_to(self, path: str, fields: Fields = ()) -> None:
        """Redirect to another page of this host after a form."""
        self.respond(HTTPStatus.SEE_OTHER, (("Location", path), *SECURITY, *fields))

    def leave_to(self, path: str, fields: Fields = ()) -> None:
        """Go on to a path that may be another service's.

        ``form-action 'self'`` of the policy holds for redirects after a form as well, and that
        service may redirect to another host: a page that goes on at once is not a redirect.
        """
        if path.startswith("/auth/"):
            self.go_to(path, fields)
            return
        self.show_template("leave", 200, (("Refresh", f"0; url={path}"), *fields), target=path)

    def form_view(self, errors: Mapping[str, str]) -> FormView:
        """Return the form as it was sent."""
        return FormView(self.form.fields, self._parameters, errors)

    def write_error(self, status_code: int, **arguments: object) -> None:
        """Show the form again with what is wrong; without one, a page about the error."""
        problem = self.find_problem(status_code, arguments)
        if problem is None:
            return
        self.note_problem(problem)
        fields = tuple(field for field in problem.headers if field[0] != "WWW-Authenticate")
        # Never 401: its challenge would open the dialog of the browser.
        status = (
            HTTPStatus.FORBIDDEN if problem.status == HTTPStatus.UNAUTHORIZED else problem.status
        )
        if self.request.method == "POST" and self.form.fields and self._has_token():
            self.show_form_again(problem, status, fields)
        else:
            self.show_problem(problem, status, fields)

    def show_form_again(self, problem: Problem, status: int, fields: Fields) -> None:
        """Show the form with the errors of its fields, or with a message."""
        errors: dict[str, str] = {}
        if isinstance(problem, InvalidFields):
            for error in problem.errors:
                errors.setdefault(error.field, self.texts.message(error.message))
        message = "" if errors else describe(self.texts, problem)
        self.show(status, fields, form=self.form_view(errors), message=message)

    def show_problem(self, problem: Problem, status: int, fields: Fields) -> None:
        """Show a page about an error."""
        self.show_template(
            "problem",
            status,
            fields,
            message=describe(self.texts, problem),
            number=status,
            request_id=self.request_id,
            back=self.request.path if self.request.method == "POST" else ACCOUNT,
        )

    @property
    def _next_after_sign_in(self) -> str:
        """Return the page that was requested; after a form that was lost, its path."""
        is_form = self.request.method == "POST"
        return (self.request.path if is_form else self.request.uri) or ACCOUNT

    async def _find_session(self) -> Session | None:
        cookie = self.get_cookie(self.cookies_of_pages.session)
        if not cookie:
            return None
        try:
            return await self.application.services.sessions.identify(cookie, self.origin)
        except TokenInvalid:
            return None

    def _bound_cookies(self) -> Sequence[str]:
        """Return the cookies that a token of a form may be bound to, the preferred one first."""
        names = (self.cookies_of_pages.session, self.cookies_of_pages.form)
        return [value for name in names if (value := self.get_cookie(name))]

    def _form_token(self) -> str:
        key = self.application.services.signer.keys[0]
        cookies = self._bound_cookies()
        if self.session is None:
            cookies = [value for value in [self.get_cookie(self.cookies_of_pages.form)] if value]
        if not cookies:
            self._new_form_cookie = new_form_cookie()
            cookies = [self._new_form_cookie]
        return issue_form_token(key, cookies[0])

    def _has_token(self) -> bool:
        given = self._parameters.get("form_token", "")
        keys = self.application.services.signer.keys
        return is_form_token(given, keys, self._bound_cookies())

    def _check_form_token(self) -> None:
        """Reject a form that a page of another site sent."""
        if (
            is_from_another_origin(self.request.headers, may_be_opaque=True)
            or not self._has_token()
        ):
            raise CrossSiteRequest

    def _page_fields(self) -> Fields:
        fields = list(SECURITY)
        if self.is_secure:
            fields.append(_HSTS)
        if self._new_form_cookie is not None:
            fields.append(self.cookies_of_pages.set_form(self._new_form_cookie))
        return fields

    def _require_https(self) -> None:
        target = self.pages.public_url
        if target and self.request.method in {"GET", "HEAD"}:
            location = f"{target}{self.request.uri}"
            self.respond(HTTPStatus.PERMANENT_REDIRECT, (("Location", location), *SECURITY))
            return
        raise HttpsRequired

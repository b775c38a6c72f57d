"""What all pages share: the checks of a request, the session, and how a page is sent."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote

from contract.calls import Call, Response
from contract.forms import read_parameters
from pages.browser import BrowserHandler
from pages.describe import describe
from pages.fields import HTML
from pages.forms import FormView, PageForm
from pages.queries import address, query_value
from pages.renderer import TemplateError
from pages.site import Site
from rules.errors import CrossSiteRequest, InvalidFields, Problem, TokenInvalid, Unauthorized
from rules.return_path import MAX_ADDRESS_LENGTH, find_return_path, read_path, read_return_path
from transport.browsers import prefers_html
from transport.response import Fields

ACCOUNT = "/auth/account"
SIGN_IN = "/auth/sign-in"
# The parameters of every form.
COMMON = ("form_token", "next")
SHOW = Call(summary="Show the page", response=Response("A page."))
SEND = Call(body=PageForm, summary="Send the form", response=Response("A page.", status=303))


class PageHandler(BrowserHandler):
    """A page. GET and HEAD show it, and change nothing; POST takes its form, if it has one."""

    ignores_unknown_parameters = True
    form: ClassVar[type[PageForm]] = PageForm
    template: ClassVar[str]
    # Whether a form without a session changes something.
    needs_form_token: ClassVar[bool] = True
    # What the page before may have done, by the parameter ``done`` of the address.
    notices: ClassVar[frozenset[str]] = frozenset()

    async def prepare(self) -> None:
        """Reject what can be rejected before the method runs.

        The order is that of docs/pages.md: path, method, media type and size, form, its token,
        session, settings.
        """
        self.begin()
        if self.redirects_to_https():
            return
        if self.request.method == "OPTIONS" and self.allowed_methods:
            return
        self.check_input(self.find_call())
        is_form = self.request.method == "POST"
        try:
            if is_form:
                self._read_form()
            self.session = await self.find_session()
            if is_form and self.session is not None and self._acts_in_session:
                self.check_form_token()
        except CrossSiteRequest:
            await self._renew_form()
            raise
        if self.session is not None:
            self.user_id = self.session.user.id
        elif self.requires_session:
            self._go_to_sign_in()
            return
        # A page that settings switch off has no form.
        self.is_form_accepted = False
        self.check_site(self.site)
        self.is_form_accepted = is_form

    def check_site(self, site: Site) -> None:
        """Raise the error of a page that settings switch off."""

    async def find_shown(self, *_path: str) -> None:
        """Find what the page shows beside its form; raise NotFound if it does not exist."""

    @property
    def initial_values(self) -> Mapping[str, str]:
        """Return the values of the form before a person fills it in."""
        return {}

    def options(self, *_path: str) -> None:
        """Respond with the methods of the path (RFC 9110, section 9.3.7)."""
        self.respond(HTTPStatus.NO_CONTENT, (("Allow", ", ".join(self.allowed_methods)),))

    def show_page(self) -> None:
        """Show the page, in response to GET."""
        self.show()

    # Not a method: a GET that reads the database is a coroutine; one may take a part of the path.
    get: Callable[..., Awaitable[None] | None] = show_page

    def head(self, *path: str) -> Awaitable[None] | None:
        """Respond as to GET, without the page."""
        return self.get(*path)

    @property
    def return_path(self) -> str | None:
        """Return the path of this host to go to afterwards, from the form or the query."""
        if self.request.method == "POST":
            return read_return_path(self.parameters.get("next"))
        return find_return_path(self.request.query)

    @property
    def done(self) -> str:
        """Return what the page before did, if this page reports it."""
        done = query_value(self.request.query, "done")
        return done if done in self.notices else ""

    def show(self, status: int = 200, fields: Fields = (), **values: object) -> None:
        """Show the page of this handler, with what the page before did."""
        given: dict[str, object] = {"done": self.done}
        if self.done:
            given["notice"] = self.texts(f"notice.{self.done}")
        self.show_template(self.template, status, fields, **given, **values)

    def show_template(
        self, template: str, status: int = 200, fields: Fields = (), **values: object
    ) -> None:
        """Show a page by its template."""
        given = {
            "form": self.form_view({}),
            "form_token": self.form_token(),
            "next": self.return_path or "",
            "with_next": partial(address, next=self.return_path),
            "session": self.session,
            # The user of the form, for password managers.
            "username": "",
            "path": self.request.path,
            "here": self._address,
            "message": "",
            "notice": "",
            # The text of a second button of the form.
            "other_submit": "",
            "is_error": status >= HTTPStatus.BAD_REQUEST,
            **values,
        }
        body = self.pages.renderer.render(template, self.language, **given)
        self.respond(status, (HTML, *self.fields_of_pages, *fields), body)

    def go_to(self, path: str, fields: Fields = ()) -> None:
        """Redirect to another page of this host after a form."""
        self.respond(HTTPStatus.SEE_OTHER, (("Location", path), *self.fields_of_pages, *fields))

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
        is_sent = self.request.method == "POST"
        return FormView(self.form.fields, self.parameters, errors, is_sent=is_sent)

    def send_problem(self, problem: Problem) -> None:
        """Show the form again with what is wrong; without one, a page about the error."""
        try:
            self._show_error(problem)
        except TemplateError:
            super().send_problem(problem)

    def _show_error(self, problem: Problem) -> None:
        fields = tuple(field for field in problem.headers if field[0] != "WWW-Authenticate")
        status = problem.status
        if isinstance(problem, TokenInvalid) and self.session is not None:
            # The session was revoked after prepare() had found it.
            self.session = None
            self._go_to_sign_in()
            return
        if isinstance(problem, Unauthorized):
            # Not 401: its challenge would open the dialog of the browser.
            status = HTTPStatus.UNPROCESSABLE_ENTITY
        if self.is_form_accepted and "GET" in self.calls:
            self.show_form_again(problem, status, fields)
        else:
            self.show_problem(problem, status, fields)

    def show_form_again(
        self, problem: Problem, status: int, fields: Fields, **values: object
    ) -> None:
        """Show the form with the errors of its fields, or with a message."""
        errors: dict[str, str] = {}
        if isinstance(problem, InvalidFields):
            for error in problem.errors:
                errors.setdefault(error.field, self.texts.message(error.message))
        message = "" if errors else describe(self.texts, problem, self.pages.public_url)
        self.show(status, fields, form=self.form_view(errors), message=message, **values)

    def show_problem(self, problem: Problem, status: int, fields: Fields) -> None:
        """Show a page about an error; send a document to what is not a browser."""
        if status == problem.status and not prefers_html(self.request.headers):
            super().send_problem(problem)
            return
        is_form = self.request.method == "POST" and "GET" in self.calls
        self.show_template(
            "problem",
            status,
            fields,
            message=describe(self.texts, problem, self.pages.public_url),
            number=status,
            request_id=self.request_id,
            back=self.request.path if is_form else "",
        )

    @property
    def _is_off(self) -> bool:
        """Return whether settings switch the page off."""
        try:
            self.check_site(self.site)
        except Problem:
            return True
        return False

    @property
    def _acts_in_session(self) -> bool:
        """Return whether the form acts for the user of the session, and its token must be of it."""
        return self.requires_session or not self.needs_form_token

    @property
    def _address(self) -> str:
        """Return the path of this page, with what its GET needs to show the same."""
        if "GET" not in self.calls:
            return self.return_path or ACCOUNT
        path, request = self.request.path, self.parameters.get("request")
        if self.request.method != "POST":
            found = read_path(self.request.uri, MAX_ADDRESS_LENGTH)
            if found:
                return found
            request = query_value(self.request.query, "request")
        whole = address(path, request=request, next=self.return_path)
        return read_path(whole, MAX_ADDRESS_LENGTH) or path

    def _go_to_sign_in(self) -> None:
        """Redirect to the sign-in, and from there to this page; the form that it sent is lost."""
        path = self.request.path if "GET" in self.calls else ACCOUNT
        following = path if self.request.method == "POST" else self.request.uri or ACCOUNT
        self.go_to(f"{SIGN_IN}?next={quote(following, safe='')}")

    def _read_form(self) -> None:
        declared = {*self.form.model_fields, *COMMON}
        self.parameters = read_parameters(self.request.body, declared)
        self.check_sender()
        if self.needs_form_token:
            self.check_form_token()
            self.is_form_accepted = True

    async def _renew_form(self) -> None:
        """Replace a form that another site may have filled in.

        The path to return to and the message that it is about are kept: a link can name both.
        """
        kept = {"next": self.return_path, "request": self.parameters.get("request")}
        if self.session is None:
            self.session = await self.find_session()
        if self._is_off or (self.requires_session and self.session is None):
            self.is_form_accepted = False
            return
        await self.find_shown(*self.path_args)
        given = {**self.initial_values, **kept}
        self.parameters = {name: value for name, value in given.items() if value}
        self.is_form_accepted = True

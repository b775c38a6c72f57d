"""The base of all pages: the checks of a request, the session, and errors."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote

from contract.calls import Call, Response
from contract.forms import read_parameters
from pages.describe import describe
from pages.forms import PageForm
from pages.renderer import TemplateError
from pages.site import Site
from pages.view import ACCOUNT, ShownPage
from rules.errors import CrossSiteRequest, InvalidFields, Problem, TokenInvalid, Unauthorized
from transport.browsers import prefers_html
from transport.response import Fields

SIGN_IN = "/auth/sign-in"
# The parameters of every form.
COMMON = ("form_token", "next")
SHOW = Call(
    summary="Show the page",
    description="Changes nothing.",
    response=Response("A page."),
)
SEND = Call(
    body=PageForm,
    summary="Send the form",
    description="Redirects after success, and otherwise shows the form again.",
    response=Response("A page.", status=303),
)
SHOWN: Mapping[str, Call] = {"GET": SHOW, "HEAD": SHOW}
WITH_FORM: Mapping[str, Call] = {**SHOWN, "POST": SEND}


class PageHandler(ShownPage):
    """A page. GET and HEAD show it, and change nothing; POST accepts its form, if it has one."""

    ignores_unknown_parameters = True
    # Whether a form without a session changes something.
    needs_form_token: ClassVar[bool] = True

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
        await self._check_form(is_form=is_form)
        if self.session is not None:
            self.user_id = self.session.user.id
        elif self.requires_session:
            self._go_to_sign_in()
            return
        # A page that settings disable has no form.
        self.is_form_accepted = False
        self.check_site(self.site)
        self.is_form_accepted = is_form

    def check_site(self, site: Site) -> None:
        """Raise the error of a page that settings disable."""

    async def find_shown(self, *_path: str) -> None:
        """Find what the page shows in addition to its form; raise NotFound if it does not exist."""

    @property
    def initial_values(self) -> Mapping[str, str]:
        """Return the values of the form before a person fills it in."""
        return {}

    def options(self, *_path: str) -> None:
        """Respond with the methods of the path (RFC 9110, section 9.3.7)."""
        self.respond(HTTPStatus.NO_CONTENT, (("Allow", ", ".join(self.allowed_methods)),))

    def show_page(self) -> None:
        """Show the page with its form, in response to GET."""
        self.parameters = self.initial_values
        self.show()

    # An attribute, because subclasses override it with coroutines, and with methods that take path
    # arguments.
    get: Callable[..., Awaitable[None] | None] = show_page

    def head(self, *path: str) -> Awaitable[None] | None:
        """Respond as to GET, without the page."""
        return self.get(*path)

    def send_problem(self, problem: Problem) -> None:
        """Show the form again with its errors; without a form, a page about the error."""
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
            # Not 401: its challenge would open the password dialog of the browser.
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
        """Show a page about an error; send a document to a client that is not a browser."""
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
        """Return whether settings disable the page."""
        try:
            self.check_site(self.site)
        except Problem:
            return True
        return False

    @property
    def _acts_in_session(self) -> bool:
        """Return whether the form acts in the session, so that its token must belong to it."""
        return self.requires_session or not self.needs_form_token

    async def _check_form(self, *, is_form: bool) -> None:
        """Find the session, and check the form; raise CrossSiteRequest."""
        try:
            if is_form:
                self._read_form()
            self.session = await self.find_session()
            if is_form and self.session is not None and self._acts_in_session:
                self.check_form_token()
        except CrossSiteRequest:
            await self._renew_form()
            raise

    def _go_to_sign_in(self) -> None:
        """Redirect to the sign-in, and from there to this page; a submitted form is lost."""
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

"""The view of a page: its template, its form, and the page that follows."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import ClassVar

from pages.browser import BrowserHandler
from pages.fields import HTML
from pages.forms import FormView, PageForm
from pages.queries import query_value, with_query
from rules.return_path import MAX_URL_LENGTH, find_return_path, read_path, read_return_path
from transport.response import Fields

ACCOUNT = "/auth/account"


class ShownPage(BrowserHandler):
    """A page that is shown, possibly with errors."""

    form: ClassVar[type[PageForm]] = PageForm
    template: ClassVar[str]
    # The values of the query parameter ``done``: what the previous page may have done.
    notices: ClassVar[frozenset[str]] = frozenset()

    @property
    def return_path(self) -> str | None:
        """Return the path of this host to go to afterwards, from the form or the query."""
        if self.request.method == "POST":
            return read_return_path(self.parameters.get("next"))
        return find_return_path(self.request.query)

    @property
    def done(self) -> str:
        """Return what the previous page did, if this page reports it."""
        done = query_value(self.request.query, "done")
        return done if done in self.notices else ""

    def show(self, status: int = 200, fields: Fields = (), **values: object) -> None:
        """Show the page of this handler, and report what the previous page did."""
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
            "with_next": partial(with_query, next=self.return_path),
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
        """Continue to a path that may belong to another service.

        ``form-action 'self'`` in the policy applies to redirects after a form as well, and that
        service may redirect to another host: a page that continues at once is not a redirect.
        """
        if path.startswith("/auth/"):
            self.go_to(path, fields)
            return
        self.show_template("leave", 200, (("Refresh", f"0; url={path}"), *fields), target=path)

    def form_view(self, errors: Mapping[str, str]) -> FormView:
        """Return the form as it was sent."""
        is_sent = self.request.method == "POST"
        return FormView(self.form.fields, self.parameters, errors, is_sent=is_sent)

    @property
    def _address(self) -> str:
        """Return the path of this page with the query that its GET needs to show the same."""
        if "GET" not in self.calls:
            return self.return_path or ACCOUNT
        path, request = self.request.path, self.parameters.get("request")
        if self.request.method != "POST":
            found = read_path(self.request.uri, MAX_URL_LENGTH)
            if found:
                return found
            request = query_value(self.request.query, "request")
        whole = with_query(path, request=request, next=self.return_path)
        return read_path(whole, MAX_URL_LENGTH) or path

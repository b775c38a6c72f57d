"""Errors outside the API as pages, for browsers."""

from collections.abc import Callable

from tornado.httputil import HTTPServerRequest

from handlers.application_state import ErrorPage
from pages.base import HTML, SECURITY
from pages.context import PageContext
from pages.describe import describe
from rules.errors import Problem
from settings.choices import Language
from transport.browsers import prefers_html
from transport.languages import find_language


def error_pages(
    pages: PageContext,
) -> Callable[[HTTPServerRequest, Problem, str], ErrorPage | None]:
    """Return what makes a page of an error, or None if the caller is no browser."""

    def error_page(
        request: HTTPServerRequest, problem: Problem, request_id: str
    ) -> ErrorPage | None:
        if request.path.startswith("/api") or not prefers_html(request.headers):
            return None
        found = find_language(request.headers, Language)
        language = Language(found) if found else pages.language
        message = describe(pages.renderer.texts(language), problem)
        body = pages.renderer.render(
            "error", language, message=message, number=problem.status, request_id=request_id
        )
        return ErrorPage((HTML, *SECURITY, *problem.headers), body)

    return error_page

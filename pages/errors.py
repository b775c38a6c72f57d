"""Errors outside the API as pages, for browsers."""

from collections.abc import Callable

from handlers.application_state import ErrorPage, Failure
from pages.context import PageContext
from pages.cookies import Cookies
from pages.describe import describe
from pages.fields import HTML, security_fields
from pages.renderer import TemplateError
from transport.browsers import prefers_html


def error_pages(pages: PageContext) -> Callable[[Failure], ErrorPage | None]:
    """Return a function that renders an error, or returns None if the caller gets a document."""

    def error_page(failure: Failure) -> ErrorPage | None:
        request, problem = failure.request, failure.problem
        if request.path.startswith("/api") or not prefers_html(request.headers):
            return None
        language = pages.language_of(request, Cookies(failure.is_secure))
        try:
            body = pages.renderer.render(
                "error",
                language,
                message=describe(pages.renderer.languages[language], problem, pages.public_url),
                is_error=True,
                number=problem.status,
                request_id=failure.request_id,
            )
        except TemplateError:
            return None
        fields = security_fields(is_secure=failure.is_secure)
        return ErrorPage((HTML, *fields, *problem.headers), body)

    return error_page

"""The state that handlers of pages need in addition to the application."""

from dataclasses import dataclass

from tornado.httputil import HTTPServerRequest

from pages.cookies import Cookies
from pages.renderer import Renderer
from transport.languages import find_language


@dataclass(frozen=True, slots=True)
class PageContext:
    """The renderer, the default language, and the origin of this server."""

    renderer: Renderer
    default_language: str
    public_url: str

    def language_of(self, request: HTTPServerRequest, cookies: Cookies) -> str:
        """Return the language that the person chose, or else the one that the browser prefers."""
        known = self.renderer.languages
        cookie = request.cookies.get(cookies.language)
        if cookie is not None and cookie.value in known:
            return cookie.value
        return find_language(request.headers, known) or self.default_language

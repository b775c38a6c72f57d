"""The pages for people: their dependencies, and their routes."""

from handlers.application import NO_PAGES, PageRoutes
from pages import page_routes as routes
from pages.context import PageContext
from pages.errors import error_pages
from pages.renderer import Renderer
from pages.site import Site
from settings import Settings
from wiring.errors import WrongSettings


def page_routes(settings: Settings) -> PageRoutes:
    """Return the routes of the pages, none if they are off; raises WrongSettings."""
    if not settings.serves_pages:
        return NO_PAGES
    context = PageContext(
        _renderer(settings), settings.mail.language.value, settings.server.public_url
    )
    arguments = {"pages": context}
    return PageRoutes(
        [(path, handler, arguments) for path, handler in routes], error_pages(context)
    )


def _renderer(settings: Settings) -> Renderer:
    pages = settings.pages
    site = Site(
        title=pages.title,
        has_logo=pages.logo is not None,
        links=pages.footer_links,
        can_register=settings.registration.open,
        sends_messages=settings.mail.relay is not None,
        min_password_length=settings.passwords.min_length,
    )
    try:
        return Renderer(site, pages.templates)
    except (OSError, ValueError) as error:
        raise WrongSettings(f"pages.templates: the pages cannot be built: {error}") from error

"""What the handlers of pages need beside the application."""

from dataclasses import dataclass

from pages.renderer import Renderer
from settings.choices import Language


@dataclass(frozen=True, slots=True)
class PageContext:
    """The renderer, the default language, and the origin of this server."""

    renderer: Renderer
    language: Language
    public_url: str

"""Fills the templates of the pages.

Tornado's templates escape each value by default. They are read at the start, from this folder and
from that of the settings, whose files replace those of the same name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tornado.template import DictLoader

from pages.texts import Texts, read_texts
from settings.choices import Language
from settings.pages import FooterLink

_FOLDER = Path(__file__).parent
_SUFFIX = ".html"


@dataclass(frozen=True, slots=True)
class Site:
    """What all pages show of the site that they belong to."""

    title: str
    has_logo: bool
    links: tuple[FooterLink, ...]
    can_register: bool
    sends_messages: bool


class Renderer:
    """Renders pages by the name of their template."""

    def __init__(self, site: Site, folder: Path | None) -> None:
        """Read the templates and texts; raise OSError, ValueError or ParseError."""
        sources = {
            file.name: file.read_text(encoding="utf-8")
            for source in (_FOLDER / "templates", folder)
            if source is not None
            for file in sorted(source.glob(f"*{_SUFFIX}"))
        }
        self._loader = DictLoader(sources, autoescape="xhtml_escape", whitespace="single")
        for name in sources:
            self._loader.load(name)  # a faulty one prevents the start
        self._site = site
        self._texts: Mapping[Language, Texts] = {
            language: read_texts(_FOLDER / "languages", language) for language in Language
        }

    def texts(self, language: Language) -> Texts:
        """Return the texts of a language."""
        return self._texts[language]

    def render(self, template: str, language: Language, **values: object) -> bytes:
        """Return the HTML of a page."""
        return self._loader.load(f"{template}{_SUFFIX}").generate(
            t=self._texts[language],
            language=language.value,
            languages=[(each.value, self._texts[each]("language.name")) for each in Language],
            site=self._site,
            **values,
        )

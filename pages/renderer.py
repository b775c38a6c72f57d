"""Fills the templates of the pages.

They are read at startup, from this folder and from the one in the settings, whose files replace
files of the same name.
"""

from collections.abc import Mapping
from pathlib import Path

from pages.site import Site
from pages.template_files import SUFFIX, load_templates
from pages.texts import Texts, read_texts

_FOLDER = Path(__file__).parent


class TemplateError(Exception):
    """A template, perhaps one from the settings, failed with the values of a page."""


class Renderer:
    """Renders pages by the name of their template."""

    def __init__(self, site: Site, folder: Path | None) -> None:
        """Read the templates and texts; raise OSError or ValueError."""
        own = () if folder is None else (folder,)
        self._loader = load_templates(_FOLDER / "templates", folder)
        self.site = site
        self._texts = read_texts((_FOLDER / "languages", *own))
        self._names = [(code, texts("language.name")) for code, texts in self._texts.items()]

    @property
    def languages(self) -> Mapping[str, Texts]:
        """Return the texts by language code."""
        return self._texts

    def render(self, template: str, language: str, **values: object) -> bytes:
        """Return the HTML of a page; raise TemplateError."""
        file = f"{template}{SUFFIX}"
        try:
            return self._loader.load(file).generate(
                t=self._texts[language],
                language=language,
                languages=self._names,
                site=self.site,
                **values,
            )
        except Exception as error:  # the expressions of a template can raise anything
            raise TemplateError(file) from error

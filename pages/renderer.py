"""Fills the templates of the pages.

Tornado's templates escape each value by default. They are read at the start, from this folder and
from that of the settings, whose files replace those of the same name.
"""

from collections.abc import Mapping
from pathlib import Path

from tornado.template import DictLoader, ParseError

from pages.site import Site
from pages.texts import Texts, read_texts

_FOLDER = Path(__file__).parent
_SUFFIX = ".html"


class Renderer:
    """Renders pages by the name of their template."""

    def __init__(self, site: Site, folder: Path | None) -> None:
        """Read the templates and texts; raise OSError or ValueError."""
        own = () if folder is None else (folder,)
        self._loader = _load((_FOLDER / "templates", *own))
        self.site = site
        self._texts = read_texts((_FOLDER / "languages", *own))
        self._names = [(code, texts("language.name")) for code, texts in self._texts.items()]

    @property
    def languages(self) -> Mapping[str, Texts]:
        """Return the texts by the code of their language."""
        return self._texts

    def render(self, template: str, language: str, **values: object) -> bytes:
        """Return the HTML of a page."""
        return self._loader.load(f"{template}{_SUFFIX}").generate(
            t=self._texts[language],
            language=language,
            languages=self._names,
            site=self.site,
            **values,
        )


def _load(folders: tuple[Path, ...]) -> DictLoader:
    """Return the templates, all compiled: a faulty one prevents the start."""
    sources = {
        file.name: file.read_text(encoding="utf-8")
        for folder in folders
        for file in sorted(folder.glob(f"*{_SUFFIX}"))
    }
    loader = DictLoader(sources, autoescape="xhtml_escape", whitespace="single")
    for name in sources:
        try:
            loader.load(name)
        except (ParseError, SyntaxError) as error:
            raise ValueError(f"{name}: {error}") from error
    return loader

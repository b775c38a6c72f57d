"""The pages for people with a browser."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from settings.checks import OptionalPath
from settings.section import Section

_NO_CONTROL_CHARACTERS = r"^\P{Cc}*$"
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_WANTED_COLOR = "a color such as #1d4ed8"
# WCAG 2.2, 1.4.3: white text on a button of the color must be readable.
_MIN_CONTRAST = 4.5
_LINEAR_BELOW = 0.04045


@dataclass(frozen=True, slots=True)
class FooterLink:
    """A link at the end of each page."""

    text: str
    url: str


def _luminance(color: str) -> float:
    """Return the relative luminance of a color (WCAG 2.2)."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= _LINEAR_BELOW else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _check_color(color: str) -> str:
    if not _COLOR.fullmatch(color):
        raise ValueError(f"must be {_WANTED_COLOR}")
    if 1.05 / (_luminance(color) + 0.05) < _MIN_CONTRAST:
        raise ValueError("is too light for white text: choose a darker color")
    return color


def _check_links(links: tuple[str, ...]) -> tuple[str, ...]:
    for link in links:
        text, _, url = link.partition("=")
        if not text.strip() or not url.strip().startswith(("https://", "http://", "/")):
            raise ValueError("must be links such as Imprint=https://example.com/imprint")
    return links


def _check_logo(logo: Path | None) -> Path | None:
    if logo is not None and logo.suffix not in {".svg", ".png"}:
        raise ValueError("must be a file that ends with .svg or .png")
    return logo


class PageSettings(Section):
    """Whether pages are served, and how they look."""

    enabled: bool
    title: str = Field(
        min_length=1,
        max_length=100,
        pattern=_NO_CONTROL_CHARACTERS,
        description="a text of 1 to 100 characters, without control characters",
    )
    logo: Annotated[OptionalPath, AfterValidator(_check_logo)]
    color: Annotated[str, AfterValidator(_check_color), Field(description=_WANTED_COLOR)]
    links: Annotated[
        tuple[Annotated[str, Field(pattern=_NO_CONTROL_CHARACTERS)], ...],
        Field(strict=False, description="a list of links without control characters"),
        AfterValidator(_check_links),
    ]
    templates: OptionalPath

    @property
    def footer_links(self) -> tuple[FooterLink, ...]:
        """Return the links at the end of each page."""
        pairs = (link.partition("=") for link in self.links)
        return tuple(FooterLink(text.strip(), url.strip()) for text, _, url in pairs)

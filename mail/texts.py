"""The texts of messages: one template for each kind and language, as plain text and as HTML.

A template consists of a subject and paragraphs, separated by empty lines. Both forms of a message
are made from it, and therefore have the same content. HTML is made with Tornado's templates, which
escape by default and are already installed.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tornado.template import Template

from rules.message_kinds import MessageKind
from settings.choices import Language

_FOLDER = Path(__file__).parent / "templates"
_WIDTH = 76
_LINKS = ("{link}", "{origin}/auth/forgot")
_CODE = "{code}"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph: a sentence or more, or a link or a code alone."""

    text: str
    is_link: bool
    is_code: bool


@dataclass(frozen=True, slots=True)
class MessageText:
    """The content of a message."""

    language: Language
    subject: str
    paragraphs: tuple[Paragraph, ...]

    @property
    def plain(self) -> str:
        """Return the plain text."""
        return "\n\n".join(map(_wrapped, self.paragraphs)) + "\n"

    @property
    def html(self) -> str:
        """Return the HTML document."""
        document = _layout().generate(
            language=self.language.value, subject=self.subject, paragraphs=self.paragraphs
        )
        return document.decode()


def _wrapped(paragraph: Paragraph) -> str:
    if paragraph.is_link:
        return paragraph.text
    # A host name in the text stays whole: it can have hyphens, and be longer than a line.
    return textwrap.fill(paragraph.text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def fill(kind: MessageKind, language: Language, values: Mapping[str, str]) -> MessageText:
    """Return the text of a kind with values in it; raise KeyError if one is missing."""
    subject, *paragraphs = _template(kind, language)
    return MessageText(
        language,
        subject.format_map(values),
        tuple(
            Paragraph(text.format_map(values), text in _LINKS, text == _CODE) for text in paragraphs
        ),
    )


@cache
def _template(kind: MessageKind, language: Language) -> tuple[str, ...]:
    text = (_FOLDER / f"{kind.value}.{language.value}.txt").read_text(encoding="utf-8")
    return tuple(text.strip().split("\n\n"))


@cache
def _layout() -> Template:
    return Template((_FOLDER / "layout.html").read_text(encoding="utf-8"), whitespace="single")

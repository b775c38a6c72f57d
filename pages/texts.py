"""The texts of the pages: one file for each language, with the same keys.

Messages of rules are in English. The section ``messages`` of another language translates them;
``{}`` in a pattern stands for a number.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from settings.choices import Language

_MESSAGES = "messages"


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language, by section and key, such as ``sign-in.title``."""

    language: Language
    by_key: Mapping[str, str]
    messages: tuple[tuple[re.Pattern[str], str], ...]

    def __call__(self, key: str, **values: object) -> str:
        """Return a text with values in it; raise KeyError if there is none."""
        return self.by_key[key].format_map(values)

    def has(self, key: str) -> bool:
        """Return whether a text exists."""
        return key in self.by_key

    def message(self, english: str) -> str:
        """Return the translation of a message of a rule, or the message itself."""
        for pattern, text in self.messages:
            match = pattern.fullmatch(english)
            if match:
                return text.format(*match.groups())
        return english


def read_texts(folder: Path, language: Language) -> Texts:
    """Return the texts of a language; raise OSError or ValueError."""
    content = (folder / f"{language}.toml").read_text(encoding="utf-8")
    sections = tomllib.loads(content)
    messages = sections.pop(_MESSAGES, {})
    by_key = {
        f"{section}.{key}": text
        for section, texts in sections.items()
        for key, text in texts.items()
    }
    return Texts(language, by_key, tuple((_pattern(each), messages[each]) for each in messages))


def _pattern(message: str) -> re.Pattern[str]:
    return re.compile("([0-9,]+)".join(map(re.escape, message.split("{}"))))

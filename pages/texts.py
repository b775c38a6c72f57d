"""The texts of the pages: one file for each language, with the same keys.

The messages of rules are in English. The section ``messages`` of another language translates them;
``{}`` in a pattern stands for a number.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from rules.counting import counted

_MESSAGES = "messages."
_BASE = "en"
# How many wrong keys an error names.
_MAX_NAMED = 10
_UNITS = ((3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language, by section and key, such as ``sign-in.title``."""

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

    def duration(self, seconds: int) -> str:
        """Return a duration in words, rounded up to a unit of which it is at least two."""
        size, unit = next(each for each in _UNITS if seconds >= 2 * each[0] or each[0] == 1)
        count = -(-seconds // size)
        return self(f"duration.{unit if count == 1 else unit + 's'}", count=count)


def read_texts(folders: Iterable[Path]) -> Mapping[str, Texts]:
    """Return the texts of each language that has a file; raise OSError or ValueError.

    A file in a later folder replaces texts of an earlier one, or adds a language.
    """
    found: dict[str, dict[str, str]] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.toml")):
            found.setdefault(file.name.removesuffix(".toml"), {}).update(_read(file))
    for language, texts in found.items():
        _check(language, texts, found[_BASE])
    return {language: _texts(by_key) for language, by_key in found.items()}


def _read(file: Path) -> Mapping[str, str]:
    found: dict[str, str] = {}
    wrong: list[str] = []
    for section, texts in _document(file).items():
        if not isinstance(texts, dict):
            wrong.append(section)
            continue
        for key, text in texts.items():
            if isinstance(text, str):
                found[f"{section}.{key}"] = text
            else:
                wrong.append(f"{section}.{key}")
    if wrong:
        raise ValueError(f"{file.name}: {wrong[0]} is not a text in a section")
    return found


def _document(file: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # of the encoding or the syntax; it does not name the file
        raise ValueError(f"{file.name}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{file.name}: it is nested too deeply") from error


def _check(language: str, texts: Mapping[str, str], base: Mapping[str, str]) -> None:
    """Raise ValueError if texts are missing, unknown, or have other values than in English."""
    keys, expected = (
        {key for key in each if not key.startswith(_MESSAGES)} for each in (texts, base)
    )
    for wrong, what in ((expected - keys, "missing"), (keys - expected, "not used")):
        if wrong:
            be = "is" if len(wrong) == 1 else "are"
            first = ", ".join(sorted(wrong)[:_MAX_NAMED])
            raise ValueError(f"{language}.toml: {counted(len(wrong), 'text')} {be} {what}: {first}")
    for key, text in texts.items():
        given = _values(_BASE, key, base[key]) if key in keys else _positions(key)
        if not _values(language, key, text) <= given:
            raise ValueError(f"{language}.toml: {key} contains a value that it does not get")


def _values(language: str, key: str, text: str) -> set[str | None]:
    """Return the names of the values in a text; the ValueError for a faulty one names the text."""
    try:
        return _parsed_values(text)
    except ValueError as error:
        raise ValueError(f"{language}.toml: {key}: {error}") from error


def _parsed_values(text: str) -> set[str | None]:
    found = [field for field in Formatter().parse(text) if field[1] is not None]
    if any(specification or conversion for _, _, specification, conversion in found):
        raise ValueError("write a value as {name}, without a format")
    return {name for _, name, _, _ in found}


def _positions(message: str) -> set[str | None]:
    """Return the values in the translation of a message: its numbers, in any order."""
    numbers = range(message.count("{}"))
    return {"" if numbers else None, *map(str, numbers)}


def _texts(by_key: Mapping[str, str]) -> Texts:
    messages = tuple(
        (_pattern(key.removeprefix(_MESSAGES)), text)
        for key, text in by_key.items()
        if key.startswith(_MESSAGES)
    )
    return Texts(by_key, messages)


def _pattern(message: str) -> re.Pattern[str]:
    return re.compile("([0-9,]+)".join(map(re.escape, message.split("{}"))))

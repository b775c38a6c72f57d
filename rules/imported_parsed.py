"""Parsed hashes of imported passwords, and formats of such hashes."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from rules.imported_bounds import Cost


@dataclass(frozen=True, slots=True)
class ParsedHash:
    """A parsed hash. ``max_bytes`` is how much of a password counts, if that is limited."""

    matches: Callable[[str], bool] = field(repr=False)
    costs: tuple[Cost, ...]
    memory: int = 0
    max_bytes: int | None = None
    reads_nul: bool = True


@dataclass(frozen=True, slots=True)
class HashFormat:
    """A format: the prefixes of its texts, their whole shape, and how one is parsed."""

    name: str
    prefixes: tuple[str, ...]
    shape: re.Pattern[str]
    parse: Callable[[re.Match[str]], ParsedHash]

"""Untrusted JSON, rejected if readers could find different values in it."""

import json
from codecs import BOM_UTF8
from collections.abc import Sequence

from pydantic_core import from_json


class RepeatedName(ValueError):
    """An object has a name twice; readers differ on which value they use (RFC 8259, section 4)."""


def read_json(content: bytes) -> object:
    """Return the value of a JSON text in UTF-8; raises ValueError, or RepeatedName.

    A byte order mark at the start is ignored (RFC 8259, section 8.1).
    """
    content = content.removeprefix(BOM_UTF8)
    # First pydantic's parser, which limits the depth and rejects NaN, but accepts a repeated name.
    value = from_json(content, allow_inf_nan=False)
    _DECODER.decode(content.decode())
    return value


def _check_names(members: Sequence[tuple[str, object]]) -> None:
    if len(members) > 1 and len({name for name, _ in members}) < len(members):
        raise RepeatedName


_DECODER = json.JSONDecoder(object_pairs_hook=_check_names)

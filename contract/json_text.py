"""Untrusted JSON, rejected if readers could find different values in it."""

import json
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence

from pydantic_core import from_json


class RepeatedName(ValueError):
    """An object has a name twice; readers differ on which value they use (RFC 8259, section 4)."""


class NestedTooDeeply(ValueError):
    """Objects and arrays are nested more deeply than the parser permits (RFC 8259, section 9)."""


class NumberTooLong(ValueError):
    """An integer has more digits than Python converts (RFC 8259, section 9)."""


class LoneSurrogate(ValueError):
    """A string contains half of a character, which UTF-8 cannot encode (RFC 8259, section 8.2)."""


def read_json(content: bytes) -> object:
    """Return the value of a JSON text in UTF-8.

    A byte order mark at the start is ignored (RFC 8259, section 8.1). Raises one of the errors
    above for JSON that is rejected, and another ValueError for what is not JSON.
    """
    content = content.removeprefix(BOM_UTF8)
    # First pydantic's parser, which limits the depth and rejects NaN, but accepts a repeated name.
    try:
        value = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise _fault_of(error) from error
    _DECODER.decode(content.decode())
    return value


def _fault_of(error: ValueError) -> ValueError:
    """Return an error of the parser, in a class of its own if the text is JSON up to there."""
    reason = str(error)
    for beginning, kind in _KINDS.items():
        if reason.startswith(beginning):
            return kind(reason)
    return error


def _check_names(members: Sequence[tuple[str, object]]) -> None:
    if len(members) > 1 and len({name for name, _ in members}) < len(members):
        raise RepeatedName


# By the beginnings of messages: all errors of pydantic's parser are of one class.
_KINDS: Mapping[str, type[ValueError]] = {
    "recursion limit exceeded": NestedTooDeeply,
    "number out of range": NumberTooLong,
    "lone leading surrogate": LoneSurrogate,
    "unexpected end of hex escape": LoneSurrogate,  # after the first half of a pair
}
_DECODER = json.JSONDecoder(object_pairs_hook=_check_names)

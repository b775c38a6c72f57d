"""Email addresses that differ from another one by a single slip of the keyboard."""

import string
from collections.abc import Iterator

_CHARACTERS = string.ascii_lowercase + string.digits + ".-_+@"


def one_slip_away(email_key: str) -> Iterator[str]:
    """Yield the keys from which one character is missing, added, different or swapped."""
    for index in range(len(email_key) + 1):
        before, after = email_key[:index], email_key[index:]
        yield from (before + each + after for each in _CHARACTERS)
        if after:
            yield before + after[1:]
            yield from (before + each + after[1:] for each in _CHARACTERS if each != after[0])
        if len(after) > 1 and after[0] != after[1]:
            yield before + after[1] + after[0] + after[2:]

"""The search for the end of the head of a request."""

from collections.abc import Sequence

from rules.errors import HeaderTooLarge
from transport.head import MAX_BYTES

_END = b"\r\n\r\n"
# Lines that end without CR are malformed, and such a head would have no other end.
_BARE_ENDS = (b"\n\n", b"\n\r\n")


class HeadSearch:
    """Finds one head after another, and remembers how far it has searched an incomplete one."""

    __slots__ = ("_searched",)

    def __init__(self) -> None:
        self._searched = 0

    def take(self, received: bytearray) -> bytes | None:
        """Remove and return the next head of the received bytes; None if it is incomplete.

        Raises HeaderTooLarge.
        """
        while received.startswith(b"\r\n"):  # RFC 9112, section 2.2
            del received[:2]
        start = max(0, self._searched - len(_END))
        end = _first_end(received, (_END,), start) or _first_end(received, _BARE_ENDS, start)
        if (end or len(received)) > MAX_BYTES:
            raise HeaderTooLarge(MAX_BYTES)
        if not end:
            self._searched = len(received)
            return None
        self._searched = 0
        data = bytes(received[:end])
        del received[:end]
        return data


def _first_end(received: bytearray, ends: Sequence[bytes], start: int) -> int:
    """Return the position after the first of some ends, 0 if there is none from ``start`` on."""
    found = [(received.find(end, start), len(end)) for end in ends]
    return min((at + length for at, length in found if at >= 0), default=0)

"""The search for the end of a head in bytes that arrive in parts."""

from typing import SupportsIndex

import pytest

from transport.head_search import HeadSearch

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 4_000
# A search may begin again a few bytes before the part that arrived.
BYTES_PER_STEP = 64


class CountedBytes(bytearray):
    """Bytes that count how many of them are searched."""

    searched = 0

    def find(self, sub: object, start: object = 0, end: object = None) -> int:
        assert isinstance(sub, bytes)
        assert isinstance(start, int)
        assert end is None
        self.searched += len(self) - start
        return super().find(sub, start)

    def __contains__(self, key: "SupportsIndex | bytes") -> bool:  # type: ignore[override]
        self.searched += len(self)
        return super().__contains__(key)


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\r\n\n", b"\n\r\n", b"\n\n"])
def test_a_head_that_arrives_byte_by_byte_is_found_without_searching_any_byte_often(
    end: bytes,
) -> None:
    search, received = HeadSearch(), CountedBytes()
    found = []
    for byte in HEAD + end:
        received.append(byte)
        found.append(search.take(received))
    assert found == [None] * (len(found) - 1) + [HEAD + end]
    assert received.searched < BYTES_PER_STEP * len(found)


@pytest.mark.parametrize("size", range(1, 9))
def test_no_byte_of_a_head_is_lost_however_it_arrives(size: int) -> None:
    heads = [b"A\r\n\n", b"B\n\n", b"C\r\n\r\n", b"D\n\r\n"]
    data = b"\r\n" + b"".join(heads)
    search, received = HeadSearch(), bytearray()
    found = []
    for start in range(0, len(data), size):
        received += data[start : start + size]
        while (head := search.take(received)) is not None:
            found.append(head)
    assert b"".join(found) == b"".join(heads)

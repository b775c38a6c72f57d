"""A process that can start no more threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# More than there are addresses in memory.
_STACK_BYTES = 1 << 60


@contextmanager
def no_new_threads() -> Iterator[None]:
    """Let the start of every thread fail for the duration of the block."""
    before = threading.stack_size(_STACK_BYTES)
    try:
        yield
    finally:
        threading.stack_size(before)

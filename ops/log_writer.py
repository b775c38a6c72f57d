"""Lines on their way to standard error: a thread writes them, so that nobody else waits for it."""

import os
import select
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Condition, Thread
from typing import TextIO

from ops.log_format import LogFormat

# What may wait: some ten thousand requests.
_MOST_CHARACTERS = 4 * 1024 * 1024


class LogWriter:
    """Writes lines to a stream from a thread of its own.

    What the stream does not take yet waits, up to ``most_characters``. What comes beyond that is
    dropped and counted in ``dropped``; ``tell_dropped`` makes the line that tells of it, written
    once the stream takes lines again. A stream that fails loses what it was given, counted as well.
    """

    def __init__(
        self,
        stream: TextIO,
        form: LogFormat,
        tell_dropped: Callable[[int], str],
        most_characters: int = _MOST_CHARACTERS,
    ) -> None:
        self.dropped = 0
        self.form = form.chosen_for(stream)
        self._put = _way_to(stream)
        self._tell_dropped = tell_dropped
        self._most_characters = most_characters
        self._chunks: deque[str] = deque()
        # Characters in _chunks, and those that are being written.
        self._queued = 0
        self._in_writing = 0
        self._untold = 0
        self._must_tell = False
        self._is_closed = False
        self._changed = Condition()
        # A daemon: a stream that nobody reads must not keep the process from its end.
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, lines: str) -> None:
        """Hand over whole lines; never waits for the stream."""
        with self._changed:
            if self._queued + self._in_writing + len(lines) > self._most_characters:
                self._drop(lines)
                self._must_tell = True
            else:
                self._chunks.append(lines)
                self._queued += len(lines)
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Write what waits, for so many seconds at the most."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while lines := self._next():
            try:
                self._put(lines)
            except (OSError, ValueError):  # the latter of a text stream that is closed
                with self._changed:
                    self._drop(lines)
            self._in_writing = 0

    def _next(self) -> str:
        """Wait for lines and return them, "" at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._must_tell or self._is_closed)
            lines = "".join(self._chunks)
            self._chunks.clear()
            self._in_writing, self._queued = self._queued, 0
            if self._untold and (lines or self._must_tell):
                lines += self._tell_dropped(self._untold)
                self._untold = 0
            self._must_tell = False
            return lines

    def _drop(self, lines: str) -> None:
        number = lines.count("\n")
        self.dropped += number
        self._untold += number


def _way_to(stream: TextIO) -> Callable[[str], None]:
    """Return what writes text to a stream, past its buffer where it is a file.

    A thread that waits inside a buffer holds its lock, and the interpreter ends by a fatal error.
    """
    try:
        number = stream.fileno()
    except OSError:
        return partial(_write_to_stream, stream)
    stream.flush()
    return partial(_write_to_descriptor, number)


def _write_to_stream(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()


def _write_to_descriptor(number: int, text: str) -> None:
    rest = memoryview(text.encode("utf-8", "backslashreplace"))
    while rest:
        try:
            rest = rest[os.write(number, rest) :]
        except BlockingIOError:
            # Another process that has the same pipe or terminal made it non-blocking.
            select.select([], [number], [])

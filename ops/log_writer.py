"""A thread that writes log lines, so that the event loop never waits for the stream."""

import os
import select
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Condition, Thread
from typing import TextIO

from ops.log_format import LogFormat

# The maximum length of the queue: the lines of some ten thousand requests.
_MAX_CHARACTERS = 4 * 1024 * 1024


class LogWriter:
    """Writes lines to a stream in a thread of its own.

    Lines that the stream does not accept yet wait in a queue of ``max_characters``. Lines beyond
    that, and lines that the stream fails to write, are dropped, and counted in ``dropped``. Once
    the stream accepts lines again, the line of ``report_dropped`` reports their number.
    """

    def __init__(
        self,
        stream: TextIO,
        log_format: LogFormat,
        report_dropped: Callable[[int], str],
        max_characters: int = _MAX_CHARACTERS,
    ) -> None:
        self.dropped = 0
        self.format = log_format.chosen_for(stream)
        self._put = _write_function(stream)
        self._report_dropped = report_dropped
        self._max_characters = max_characters
        self._chunks: deque[str] = deque()
        # The characters in _chunks, and those being written.
        self._queued = 0
        self._in_writing = 0
        self._unreported = 0
        # The number in the report that is being written.
        self._reported = 0
        self._must_report = False
        self._is_closed = False
        self._changed = Condition()
        # A daemon thread: a blocked stream must not keep the process from exiting.
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, lines: str) -> None:
        """Queue complete lines; never waits for the stream."""
        with self._changed:
            if self._queued + self._in_writing + len(lines) > self._max_characters:
                self._drop(lines.count("\n"))
                self._must_report = True
            else:
                self._chunks.append(lines)
                self._queued += len(lines)
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Write the queue, for at most this many seconds."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while lines := self._next():
            try:
                self._put(lines)
            except (OSError, ValueError):  # ValueError: the text stream is closed
                with self._changed:
                    # The report is no line of the log, and its number is to be reported again.
                    self._drop(lines.count("\n") - (1 if self._reported else 0))
                    self._unreported += self._reported
            self._in_writing = 0

    def _next(self) -> str:
        """Wait for lines, and return them, or "" at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._must_report or self._is_closed)
            lines = "".join(self._chunks)
            self._chunks.clear()
            self._in_writing, self._queued = self._queued, 0
            self._reported = 0
            if self._unreported and (lines or self._must_report):
                lines += self._report_dropped(self._unreported)
                self._reported, self._unreported = self._unreported, 0
            self._must_report = False
            return lines

    def _drop(self, number: int) -> None:
        self.dropped += number
        self._unreported += number


def _write_function(stream: TextIO) -> Callable[[str], None]:
    """Return the function that writes text to a stream, bypassing the buffer of a file.

    A thread that blocks in a buffer holds its lock, which aborts the interpreter at exit.
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
            # Another process with the same pipe or terminal has made it non-blocking.
            select.select([], [number], [])

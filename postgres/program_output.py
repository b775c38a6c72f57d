"""Programs whose output is read while they run, and which end with whoever reads it."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO

from postgres.folder import one_line


class ProgramFailed(Exception):
    """A program ended with another code than 0; the message is what it said."""


@contextmanager
def stream_output(
    program: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    source: BinaryIO | None = None,
) -> Iterator[IO[bytes]]:
    """Run a program, and yield its output, all of which the block has to read.

    It reads ``source`` from where that stands. It gets SIGPIPE where we are killed.
    """
    with TemporaryFile() as said:
        # A session of its own: Ctrl-C in the terminal is for us, who then end it.
        process = subprocess.Popen(  # noqa: S603 - no shell, and what is in it is quoted
            [str(program), *arguments],
            stdin=subprocess.DEVNULL if source is None else source,
            stdout=subprocess.PIPE,
            stderr=said,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        )
        try:
            if process.stdout is None:
                raise ProgramFailed("its output is not stream_output")
            yield process.stdout
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if code:
            said.seek(0)
            raise ProgramFailed(one_line(said.read().decode(errors="replace")))

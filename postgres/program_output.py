"""Programs whose output is streamed, and which end when its reader ends."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO, cast

from postgres.programs import last_lines


class ProgramFailed(Exception):
    """A program failed; the message is the end of its standard error."""


@contextmanager
def stream_output(
    program: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    source: BinaryIO | None = None,
) -> Iterator[IO[bytes]]:
    """Run a program, and yield its output, all of which the block must read.

    The program reads ``source`` from its current offset. If we are killed, it gets SIGPIPE.
    """
    with TemporaryFile() as errors:
        # In a separate session: Ctrl-C in the terminal is sent to us only, and we end the program.
        with subprocess.Popen(
            [str(program), *arguments],
            stdin=subprocess.DEVNULL if source is None else source,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        ) as process:
            try:
                yield cast(IO[bytes], process.stdout)
                code = process.wait()
            finally:
                process.kill()
        if code:
            errors.seek(0)
            raise ProgramFailed(last_lines(errors.read().decode(errors="replace")))

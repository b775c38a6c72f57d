"""The shared memory that a killed Postgres leaves behind until the machine restarts."""

import os
from pathlib import Path

from postgres.programs import MAJOR_VERSION, account_for, find_programs, run
from tests.harness.programs import get_program


def remove_shared_memory(folder: Path) -> None:
    """Remove the segments of each cluster in a directory that was not shut down.

    Postgres removes them itself when it starts again. With ``--check`` it then exits, before it
    recovers the data. It refuses if a process still uses them.
    """
    for name, _, files in os.walk(folder):
        data = Path(name)
        # Skip a directory that a killed process left half removed.
        if {"postmaster.pid", "PG_VERSION"} <= {*files}:
            # While the process that it names exists, even as a zombie, Postgres does not start.
            (data / "postmaster.pid").unlink()
            command = [str(_programs(data) / "postgres"), "--check", "-D", name]
            run(command, account_for(data), data)


def _programs(data: Path) -> Path:
    version = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    return find_programs() if version == MAJOR_VERSION else Path(get_program("initdb")).parent

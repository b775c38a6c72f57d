"""The Postgres cluster of a run, which is restarted under load."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from postgres.data_directory import DataDirectory
from postgres.embedded import EmbeddedPostgres

RESTART_SECONDS = 60


class SoakError(Exception):
    """The run cannot continue; the message gives the reason."""


@dataclass(frozen=True)
class Cluster:
    """A running Postgres."""

    dsn: str
    directory: DataDirectory

    def restart(self, mode: str) -> None:
        """Stop Postgres in a mode of pg_ctl and start it; return when it accepts connections."""
        code, output = self.directory.run(
            "pg_ctl",
            "restart",
            "--wait",
            f"--mode={mode}",
            f"--timeout={RESTART_SECONDS}",
            # Otherwise Postgres would inherit the pipe of pg_ctl's output and keep it open.
            "--log=restart.log",
        )
        if code:
            raise SoakError(f"Postgres did not restart ({mode}): {output}")


@contextmanager
def running_cluster(directory: Path) -> Iterator[Cluster]:
    """Run a new Postgres cluster in a directory."""
    embedded = EmbeddedPostgres.start(directory)
    try:
        yield Cluster(embedded.dsn, DataDirectory.open(directory))
    finally:
        embedded.stop()

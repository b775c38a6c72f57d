"""The Postgres of a run: in a folder of its own, and restarted under load."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from postgres.embedded import EmbeddedPostgres
from postgres.folder import ClusterFolder

RESTART_SECONDS = 60


class SoakError(Exception):
    """The run cannot go on; the message tells why."""


@dataclass(frozen=True)
class Cluster:
    """A running Postgres."""

    dsn: str
    folder: ClusterFolder

    def restart(self, mode: str) -> None:
        """Stop Postgres in one of pg_ctl's modes and start it; return when it answers."""
        code, said = self.folder.run(
            "pg_ctl",
            "restart",
            "--wait",
            f"--mode={mode}",
            f"--timeout={RESTART_SECONDS}",
            # Else it would inherit the pipe on which pg_ctl's own output is read to its end.
            "--log=restart.log",
        )
        if code:
            raise SoakError(f"Postgres did not restart ({mode}): {said}")


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Run a new Postgres in a folder."""
    embedded = EmbeddedPostgres.start(folder)
    try:
        yield Cluster(embedded.dsn, ClusterFolder.open(folder))
    finally:
        embedded.stop()

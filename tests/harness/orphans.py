"""What killed runs of the tests left: directories in memory, and each Postgres in them."""

import fcntl
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import gettempdir

from tests.harness.embedded_clusters import end_postgres_below
from tests.harness.memory_directory import PREFIX, SHARED_MEMORY, locked
from tests.harness.shared_memory import remove_shared_memory


def remove_orphans() -> None:
    """Remove the directories of processes that have exited, and stop any Postgres in them."""
    for place in (SHARED_MEMORY, Path(gettempdir())):
        with ExitStack() as held:
            for folder in _lock_orphans(place, held) if place.is_dir() else ():
                end_postgres_below(folder)
                remove_shared_memory(folder)
                shutil.rmtree(folder, ignore_errors=True)


def _lock_orphans(place: Path, held: ExitStack) -> list[Path]:
    """Return the directories that no process has locked, locked until ``held`` is closed."""
    orphans = []
    with locked(place):
        for folder in place.glob(f"{PREFIX}*"):
            # In use, of another user, or removed just now.
            with suppress(OSError):
                held.enter_context(locked(folder, fcntl.LOCK_NB))
                orphans.append(folder)
    return orphans

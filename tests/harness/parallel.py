"""Parallel runs: the number of workers, the order of files, and tests marked ``serial``."""

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

# Their files take longest. Started first, none of them runs last while other workers are idle.
_LONG_ROOMS = ("system", "postgres", "deploy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the rooms whose files take longest before the others."""
    items.sort(key=lambda item: item.path.parent.name not in _LONG_ROOMS)


@contextmanager
def machine(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the machine for the block: alone, or together with tests that do not need it alone."""
    with (folder / "machine.lock").open("w") as held:
        # A serial test keeps the queue while it waits, so that no later test overtakes it.
        with (folder / "queue.lock").open("w") as queue:
            fcntl.flock(queue, fcntl.LOCK_EX)
            fcntl.flock(held, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def pytest_xdist_auto_num_workers() -> int:
    """Return one more than there are cores, since tests also wait for servers and timers."""
    return len(os.sched_getaffinity(0)) + 1


# Outside of pytest-timeout, which must not count the wait.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    is_worker = hasattr(item.config, "workerinput")
    alone = item.get_closest_marker("serial") is not None
    # Every worker has a directory below that of the run.
    folder = Path(item.config.option.basetemp or "").parent
    with machine(folder, alone=alone) if is_worker else nullcontext():
        return (yield)

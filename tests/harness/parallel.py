"""Parallel runs: the number of workers, the order of files, and tests marked ``serial``."""

import fcntl
import importlib
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

# Their files take longest. Started first, none of them runs last while other workers are idle.
_LONG_DIRECTORIES = ("system", "postgres", "deploy")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Import the test modules, where each worker begins with other ones.

    On a fresh clone, pytest compiles them. Workers with the same order would each compile all of
    them, which takes longer than everything else until the first test runs.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker and session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        _import_tests(session.config.rootpath, int(worker["workerid"][2:]), worker["workercount"])
    return (yield)


def _import_tests(root: Path, worker: int, workers: int) -> None:
    paths = sorted((root / "tests").glob("*/test_*.py"))
    first = len(paths) * worker // workers
    for path in paths[first:] + paths[:first]:
        # The collection imports it again, and reports what fails.
        with suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the directories whose files take longest before the others."""
    items.sort(key=lambda item: item.path.parent.name not in _LONG_DIRECTORIES)


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
    """Return the number of cores plus two: tests also wait for servers and timers."""
    return len(os.sched_getaffinity(0)) + 2


# Outside of pytest-timeout, which must not count the wait.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    is_worker = hasattr(item.config, "workerinput")
    alone = item.get_closest_marker("serial") is not None
    # Every worker has a directory below that of the run.
    folder = Path(item.config.option.basetemp or "").parent
    with machine(folder, alone=alone) if is_worker else nullcontext():
        return (yield)

"""The warning that few files or none can be opened."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.free_files import FreeFilesMonitor
from tests.harness.clock import Clock


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def free_files(number: int) -> Iterator[None]:
    """Lower the limit of open files so that some more can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The limit is that of the number of a file, and the lowest ones are used first.
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(number)]
    limit = max(opened, default=-1) + 1
    for each in opened:
        os.close(each)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.gen_test
async def test_a_shortage_of_files_is_logged_once_a_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    before = open_files()
    monitor = FreeFilesMonitor(clock)
    monitor.check()
    assert caplog.messages == []
    with free_files(0):
        for _ in range(61):
            monitor.check()
            clock.advance(1)
    monitor.check()
    monitor.close()
    assert len(caplog.messages) == 2
    assert {vars(record)["cause"] for record in caplog.records} == {os.strerror(24)}
    assert open_files() == before


@pytest.mark.parametrize(("number", "messages"), [(3, 1), (4, 0)])
@pytest.mark.gen_test
async def test_the_warning_is_true_of_a_few_free_files(
    number: int, messages: int, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = FreeFilesMonitor(clock)
    with free_files(number):
        monitor.check()
    monitor.close()
    expected = ["fewer than 4 files can be opened: connections may not be accepted"]
    assert caplog.messages == expected * messages

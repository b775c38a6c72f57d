"""The warning that no file is free."""

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
def no_free_file() -> Iterator[None]:
    """Lower the limit of open files below what is open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
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
    with no_free_file():
        for _ in range(61):
            monitor.check()
            clock.advance(1)
    monitor.check()
    monitor.close()
    assert len(caplog.messages) == 2
    assert {vars(record)["cause"] for record in caplog.records} == {os.strerror(24)}
    assert open_files() == before

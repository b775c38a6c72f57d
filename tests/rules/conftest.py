"""Queues for hashes whose work a test controls."""

from collections.abc import Iterator
from typing import Any

import pytest

from rules.hash_queue import HashQueue
from tests.harness.hash_queue import MakeQueue, Work


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.may_end.set()


@pytest.fixture
def make_queue(work: Work) -> Iterator[MakeQueue]:
    queues: list[HashQueue] = []

    def make(**changes: Any) -> HashQueue:
        defaults = {
            "workers": 1,
            "max_wait_seconds": 100,
            "seconds_each": 1,
            "max_per_account": 1000,
        }
        queues.append(HashQueue(**{**defaults, **changes}))
        return queues[-1]

    yield make
    work.may_end.set()
    for queue in queues:
        queue.close()

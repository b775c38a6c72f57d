"""The rate at which the server removes expired rows."""

import pytest

from bench.groups.purge import counted
from tests.harness.clock import Clock


def test_a_slow_count_does_not_lower_the_rate_of_removal(clock: Clock) -> None:
    def count(rows: int) -> int:
        clock.advance(100)
        return rows

    first = counted(lambda: count(5_000), clock)
    clock.advance(60)
    last = counted(lambda: count(1_000), clock)
    assert first.removed_per_second(last) == pytest.approx(4_000 / 160)

"""Callers that return when they are due."""

import pytest

from rules.retries import MAX_CALLERS, Retries
from rules.turns import Caller
from tests.harness.clock import Clock

CALLER = Caller.at("192.0.2.1", "susan")


@pytest.mark.parametrize(
    ("seconds", "is_in_time"), [(0, False), (4.5, False), (4.9, True), (15, True), (15.1, False)]
)
def test_a_caller_honors_retry_after_within_a_window(seconds: float, is_in_time: bool) -> None:  # noqa: FBT001
    clock = Clock()
    retries = Retries(clock)
    retries.add(CALLER, 5)
    clock.advance(seconds)
    assert (retries.take(CALLER) is not None) is is_in_time
    assert retries.take(CALLER) is None


def test_a_caller_that_was_not_rejected_does_not_return() -> None:
    retries = Retries(Clock())
    retries.add(CALLER, 0)
    assert retries.take(Caller.at("192.0.2.2", "susan")) is None
    assert retries.take(Caller.at("192.0.2.1", "peter")) is None


def test_the_number_of_remembered_callers_is_bounded() -> None:
    retries = Retries(Clock())
    for number in range(MAX_CALLERS + 10):
        retries.add(Caller.at("192.0.2.1", str(number)), 5)
    assert len(retries) == MAX_CALLERS


def test_the_first_rejection_counts_for_a_caller_that_honors_retry_after() -> None:
    clock = Clock()
    first_rejected_at = clock()
    retries = Retries(clock)
    remembered = None
    for _ in range(3):
        retries.add(CALLER, 5, remembered)
        clock.advance(5)
        remembered = retries.take(CALLER)
    assert remembered == first_rejected_at

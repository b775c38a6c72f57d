"""Callers that come back when they were told to."""

import pytest

from rules.retries import MOST, Retries
from rules.turns import Caller
from tests.harness.clock import Clock

CALLER = Caller.at("192.0.2.1", "susan")


@pytest.mark.parametrize(
    ("seconds", "keeps_to_it"), [(0, False), (4.5, False), (4.9, True), (15, True), (15.1, False)]
)
def test_a_caller_keeps_to_retry_after_or_does_not(seconds: float, keeps_to_it: bool) -> None:  # noqa: FBT001
    clock = Clock()
    retries = Retries(clock)
    retries.add(CALLER, 5)
    clock.advance(seconds)
    assert (retries.take(CALLER) is not None) is keeps_to_it
    assert retries.take(CALLER) is None


def test_nobody_returns_who_was_not_refused() -> None:
    retries = Retries(Clock())
    retries.add(CALLER, 0)
    assert retries.take(Caller.at("192.0.2.2", "susan")) is None
    assert retries.take(Caller.at("192.0.2.1", "peter")) is None


def test_no_flood_fills_the_memory() -> None:
    retries = Retries(Clock())
    for number in range(MOST + 10):
        retries.add(Caller.at("192.0.2.1", str(number)), 5)
    assert len(retries) == MOST


def test_the_first_refusal_counts_of_whoever_keeps_to_retry_after() -> None:
    clock = Clock()
    began = clock()
    retries = Retries(clock)
    since = None
    for _ in range(3):
        retries.add(CALLER, 5, since)
        clock.advance(5)
        since = retries.take(CALLER)
    assert since == began

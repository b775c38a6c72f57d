"""The claims of accounts to the next turn."""

import pytest

from rules.claims import MAX_CALLERS, MAX_SECONDS, NEW_SECONDS, Claim, Claims
from rules.turns import Caller
from tests.harness.clock import Clock

CALLER = Caller.at("192.0.2.1", "susan")


@pytest.mark.parametrize(
    ("seconds", "is_due"), [(0, False), (4.5, False), (4.9, True), (15, True), (15.1, False)]
)
def test_a_caller_honors_retry_after_within_a_window(seconds: float, is_due: bool) -> None:  # noqa: FBT001
    clock = Clock()
    claims = Claims(clock)
    claims.keep(CALLER, claims.take(CALLER), 5)
    clock.advance(seconds)
    assert claims.take(CALLER).is_due is is_due
    assert not claims.take(CALLER).is_due


def test_a_caller_that_was_not_rejected_is_not_due() -> None:
    claims = Claims(Clock())
    claims.keep(CALLER, claims.take(CALLER), 0)
    assert not claims.take(Caller.at("192.0.2.2", "susan")).is_due
    assert not claims.take(Caller.at("192.0.2.1", "peter")).is_due


def test_an_account_that_had_no_turn_lately_has_the_claim_of_a_new_one() -> None:
    clock = Clock()
    claims = Claims(clock)
    assert claims.take(CALLER) == Claim(clock() - NEW_SECONDS)
    clock.advance(NEW_SECONDS + 1)
    assert claims.take(CALLER) == Claim(clock() - NEW_SECONDS)


def test_an_account_has_waited_since_its_last_turn() -> None:
    clock = Clock()
    claims = Claims(clock)
    claims.take(CALLER)
    last_turn = clock()
    clock.advance(1)
    assert claims.take(CALLER) == Claim(last_turn)
    assert claims.take(CALLER) == Claim(clock())


def test_a_rejected_caller_keeps_its_claim_if_it_returns_early_or_when_it_is_due() -> None:
    clock = Clock()
    claims = Claims(clock)
    first = claims.take(CALLER)
    for seconds in (1, 5, 1, 1):
        claims.keep(CALLER, first, 5)
        clock.advance(seconds)
        assert claims.take(CALLER) == Claim(first.since, is_due=seconds == 5)


def test_the_strongest_of_several_claims_of_an_account_is_kept() -> None:
    clock = Clock()
    claims = Claims(clock)
    first = claims.take(CALLER)
    clock.advance(1)
    second = claims.take(CALLER)
    claims.keep(CALLER, first, 5)
    claims.keep(CALLER, second, 5)
    assert claims.take(CALLER).since == first.since < second.since


def test_a_rejected_caller_that_does_not_return_loses_its_claim() -> None:
    clock = Clock()
    claims = Claims(clock)
    claims.keep(CALLER, claims.take(CALLER), 5)
    clock.advance(15.1)
    assert claims.take(CALLER) == Claim(clock() - NEW_SECONDS)


def test_a_claim_that_is_kept_again_and_again_stops_growing() -> None:
    clock = Clock()
    claims = Claims(clock)
    claim = claims.take(CALLER)
    for _ in range(100):
        claims.keep(CALLER, claim, 5)
        clock.advance(5)
        claim = claims.take(CALLER)
    assert claim == Claim(clock() - MAX_SECONDS, is_due=True)


def test_the_number_of_remembered_accounts_is_bounded() -> None:
    claims = Claims(Clock())
    for number in range(MAX_CALLERS + 10):
        claims.take(Caller.at("192.0.2.1", str(number)))
    assert len(claims) == MAX_CALLERS

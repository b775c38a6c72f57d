"""Rate limits per key."""

from rules.budget import Budget
from tests.harness.clock import Clock


def test_an_exhausted_budget_refills_one_use_at_a_time() -> None:
    clock = Clock()
    budget = Budget(4, clock)
    for _ in range(4):
        assert budget.wait_seconds("key") == 0
        budget.spend("key")
    assert budget.wait_seconds("key") == 15
    clock.advance(14)
    assert budget.wait_seconds("key") == 1
    clock.advance(1)
    assert budget.wait_seconds("key") == 0
    budget.spend("key")
    assert budget.wait_seconds("key") == 15


def test_each_key_has_a_budget_of_its_own() -> None:
    budget = Budget(1, Clock())
    budget.spend("key")
    assert (budget.wait_seconds("key"), budget.wait_seconds("other")) == (60, 0)


def test_reading_the_wait_spends_nothing() -> None:
    budget = Budget(1, Clock())
    assert [budget.wait_seconds("key") for _ in range(3)] == [0, 0, 0]


def test_the_number_of_keys_is_bounded() -> None:
    budget = Budget(1, Clock())
    for number in range(50_001):
        budget.spend(str(number))
    assert (budget.wait_seconds("0"), budget.wait_seconds("1")) == (0, 60)

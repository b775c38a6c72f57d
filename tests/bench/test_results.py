"""Statistics of the bench."""

import pytest

from bench.results import percentile


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(100, 99, 99), (101, 99, 100), (20, 50, 10), (3, 50, 2), (1, 99, 1), (5, 0, 1), (5, 100, 5)],
)
def test_a_percentile_is_the_lowest_value_that_the_percentage_does_not_exceed(
    count: int, percent: float, expected: float
) -> None:
    assert percentile(range(count, 0, -1), percent) == expected


def test_the_percentile_of_no_values_is_zero() -> None:
    assert percentile([], 99) == 0

"""Counts by range of value."""

from ops.histogram import Histogram


def test_a_value_counts_where_it_does_not_exceed_the_bound() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert (histogram.count, histogram.sum) == (5, 7.5)


def test_a_negative_value_of_a_clock_that_was_set_counts_as_none() -> None:
    histogram = Histogram((1.0,))
    histogram.observe(-3.0)
    assert (histogram.buckets(), histogram.sum) == ([("1.0", 1), ("+Inf", 1)], 0.0)


def test_several_are_told_as_one_and_stay_what_they_were() -> None:
    one, other = Histogram((1.0,)), Histogram((1.0,))
    one.observe(0.5)
    other.observe(3.0)
    both = Histogram.together([one, other])
    assert (both.buckets(), both.sum) == ([("1.0", 1), ("+Inf", 2)], 3.5)
    assert (one.count, other.count) == (1, 1)

"""Histograms."""

from ops.histogram import Histogram


def test_a_value_counts_in_the_first_bucket_that_includes_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert (histogram.count, histogram.sum) == (5, 7.5)


def test_a_negative_value_counts_as_zero() -> None:
    histogram = Histogram((1.0,))
    histogram.observe(-3.0)
    assert (histogram.buckets(), histogram.sum) == ([("1.0", 1), ("+Inf", 1)], 0.0)


def test_histograms_are_summed_without_being_changed() -> None:
    one, other = Histogram((1.0,)), Histogram((1.0,))
    one.observe(0.5)
    other.observe(3.0)
    both = Histogram.summed([one, other])
    assert (both.buckets(), both.sum) == ([("1.0", 1), ("+Inf", 2)], 3.5)
    assert (one.count, other.count) == (1, 1)

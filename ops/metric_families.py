"""Metric families of prometheus-client, from numbers and histograms."""

from collections.abc import Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from ops.histogram import Histogram

# Route, method, and status or class of status.
RequestLabels = tuple[str, str, str]
_REQUEST_LABELS = ("route", "method", "status")


def info(name: str, documentation: str, value: dict[str, str]) -> Metric:
    """Return an info metric."""
    family = InfoMetricFamily(name, documentation)
    family.add_metric([], value)
    return family


def gauge(name: str, documentation: str, value: float) -> Metric:
    """Return a gauge."""
    return GaugeMetricFamily(name, documentation, value)


def counter(name: str, documentation: str, value: float) -> Metric:
    """Return a counter."""
    return CounterMetricFamily(name, documentation, value)


def labeled_counter(name: str, documentation: str, label: str, counts: Mapping[str, int]) -> Metric:
    """Return a counter with one label."""
    family = CounterMetricFamily(name, documentation, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def histogram(name: str, documentation: str, values: Histogram) -> Metric:
    """Return a histogram."""
    return HistogramMetricFamily(name, documentation, values.buckets(), values.sum)


def labeled_histogram(
    name: str, documentation: str, label: str, histograms: Mapping[str, Histogram]
) -> Metric:
    """Return a histogram with one label."""
    family = HistogramMetricFamily(name, documentation, labels=[label])
    for value, values in histograms.items():
        family.add_metric([value], values.buckets(), values.sum)
    return family


def request_counter(name: str, documentation: str, counts: Mapping[RequestLabels, int]) -> Metric:
    """Return a counter with the labels of requests."""
    family = CounterMetricFamily(name, documentation, labels=_REQUEST_LABELS)
    for labels, count in counts.items():
        family.add_metric(labels, count)
    return family


def request_histogram(
    name: str, documentation: str, histograms: Mapping[RequestLabels, Histogram]
) -> Metric:
    """Return a histogram with the labels of requests."""
    family = HistogramMetricFamily(name, documentation, labels=_REQUEST_LABELS)
    for labels, values in histograms.items():
        family.add_metric(labels, values.buckets(), values.sum)
    return family

"""The metrics of the server, and their exposition to Prometheus.

A request only increments numbers here. The values of other objects are read at each exposition,
through the functions that ``gauge``, ``counter`` and ``labeled_counter`` register.
"""

import asyncio
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ops import metric_families as families
from ops.histogram import Histogram

UNKNOWN_ROUTE = "unknown"
OTHER_METHOD = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# From the lookup of a token, a fraction of a millisecond, to a login that waits for its hash.
SECONDS = (
    *(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0),
)
# Up to the maximum number of keys in a batch.
KEYS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)


# The last line of the OpenMetrics format.
_END = b"# EOF\n"


def known_method(method: str | None) -> str:
    """Return an HTTP method, or one name for all others, which may be any text."""
    return method if method in _METHODS else OTHER_METHOD


@dataclass(frozen=True, slots=True)
class Exposition:
    """All metrics as text, in the format of the Accept header."""

    content_type: str
    text: bytes


class _Only(Collector):
    """Collects given metrics."""

    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


class Metrics(Collector):
    """All metrics of the server. Its methods must be called on the event loop.

    ``problems`` are the names of all problem types: each count starts at 0, since Prometheus does
    not notice an increase in a series that starts at 1.
    """

    def __init__(self, *, version: str, problems: Iterable[str]) -> None:
        self._build = {"version": version, "python": platform.python_version()}
        self._requests: dict[tuple[str, str, int], Histogram] = {}
        self._problems = dict.fromkeys(problems, 0)
        self._hash_seconds = Histogram(SECONDS)
        self._hash_wait_seconds = Histogram(SECONDS)
        self._connection_wait_seconds = Histogram(SECONDS)
        self._lag_seconds = Histogram(SECONDS)
        self._lookup_keys: dict[str, Histogram] = {}
        self._lookup_seconds: dict[str, Histogram] = {}
        self._readers: list[Callable[[], Metric]] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request, and its duration."""
        series = self._requests.get((route, method, status))
        if series is None:
            series = self._request_series(route, method, status)
        series.observe(seconds)

    def problem(self, name: str) -> None:
        """Count a problem document."""
        self._problems[name] = self._problems.get(name, 0) + 1

    def observe_hash_wait(self, seconds: float) -> None:
        """Count the wait of a hash for a worker."""
        self._hash_wait_seconds.observe(seconds)

    def observe_hash(self, seconds: float) -> None:
        """Count the duration of a hash."""
        self._hash_seconds.observe(seconds)

    def observe_connection_wait(self, seconds: float) -> None:
        """Count the wait for a connection to the database."""
        self._connection_wait_seconds.observe(seconds)

    def observe_lag(self, seconds: float) -> None:
        """Count a measurement of the lag of the event loop."""
        self._lag_seconds.observe(seconds)

    def lookup(self, name: str) -> Callable[[int, float], None]:
        """Return the function that counts the keys and the duration of a statement of a lookup."""
        keys = self._lookup_keys[name] = Histogram(KEYS)
        seconds = self._lookup_seconds[name] = Histogram(SECONDS)

        def observe(key_count: int, duration: float) -> None:
            keys.observe(key_count)
            seconds.observe(duration)

        return observe

    def gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Expose a value that ``read`` returns."""
        self._readers.append(lambda: families.gauge(name, documentation, read()))

    def counter(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Expose a count that ``read`` returns."""
        self._readers.append(lambda: families.counter(name, documentation, read()))

    def labeled_counter(
        self, name: str, documentation: str, label: str, read: Callable[[], Mapping[str, int]]
    ) -> None:
        """Expose counts that ``read`` returns by the value of a label."""
        self._readers.append(lambda: families.labeled_counter(name, documentation, label, read()))

    async def expose(self, accept: str) -> Exposition:
        """Return all metrics, in the format of an Accept header.

        All values are read at once, but encoded metric by metric, with turns of the event loop in
        between: otherwise requests would have to wait for several milliseconds of work.
        """
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a malformed version, which no caller sends on purpose
            encode, content_type = choose_encoder("")
        parts = []
        for metric in list(self._registry.collect()):
            parts.append(encode(_Only(metric)).removesuffix(_END))
            await asyncio.sleep(0)
        is_open_metrics = encode(_Only()) == _END
        return Exposition(content_type, b"".join(parts) + (_END if is_open_metrics else b""))

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families, for prometheus-client."""
        yield families.info(
            "userauth_build", "Version of the server, and of its Python.", self._build
        )
        yield from self._collect_requests()
        yield families.labeled_counter(
            "userauth_problems",
            "Problem documents, by problem type.",
            "problem",
            self._problems,
        )
        yield from self._collect_waits()
        yield from self._collect_lookups()
        for read in self._readers:
            yield read()

    def _request_series(self, route: str, method: str, status: int) -> Histogram:
        """Return the series of such requests; routes, methods and statuses are bounded."""
        return self._requests.setdefault((route, known_method(method), status), Histogram(SECONDS))

    def _collect_requests(self) -> Iterator[Metric]:
        counts: dict[families.RequestLabels, int] = {}
        by_class: dict[families.RequestLabels, list[Histogram]] = {}
        for (route, method, status), series in sorted(self._requests.items()):
            counts[route, method, str(status)] = series.count
            by_class.setdefault((route, method, f"{status // 100}xx"), []).append(series)
        yield families.request_counter("userauth_requests", "Requests with a response.", counts)
        yield families.request_histogram(
            "userauth_request_seconds",
            "Duration of requests, from head to response, by class of status.",
            {labels: Histogram.summed(several) for labels, several in by_class.items()},
        )

    def _collect_waits(self) -> Iterator[Metric]:
        yield families.histogram(
            "userauth_hash_seconds", "Duration of the hash of a password.", self._hash_seconds
        )
        yield families.histogram(
            "userauth_hash_wait_seconds",
            "Wait of a hash for a worker.",
            self._hash_wait_seconds,
        )
        yield families.histogram(
            "userauth_pool_wait_seconds",
            "Wait for a connection to the database.",
            self._connection_wait_seconds,
        )
        yield families.histogram(
            "userauth_event_loop_lag_seconds",
            "Lag of the event loop, measured ten times a second.",
            self._lag_seconds,
        )

    def _collect_lookups(self) -> Iterator[Metric]:
        yield families.labeled_histogram(
            "userauth_lookup_seconds",
            "Duration of the statement of a batched lookup.",
            "lookup",
            self._lookup_seconds,
        )
        yield families.labeled_histogram(
            "userauth_lookup_keys",
            "Number of keys in such a statement.",
            "lookup",
            self._lookup_keys,
        )

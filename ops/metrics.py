"""What is measured of the server, and how Prometheus reads it.

A request adds to a list of numbers here, and no more. What others count or know of themselves is
read when somebody asks, from the objects that ``watch`` is given.
"""

import asyncio
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ops.histogram import Histogram

UNKNOWN_ROUTE = "unknown"
OTHER_METHOD = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# From a look-up of a token, a fraction of a millisecond, to a log-in that waited for its hash.
SECONDS = (
    *(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0),
)
# The largest is what one statement asks for at the most.
KEYS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)


# The last line of the format that is called OpenMetrics.
_END = b"# EOF\n"


def known_method(method: str | None) -> str:
    """Return a method of HTTP, or one name for all others, which may be any text."""
    return method if method in _METHODS else OTHER_METHOD


class Requests(Protocol):
    """Knows of the requests that run."""

    @property
    def running(self) -> int: ...
    @property
    def draining(self) -> bool: ...


class HashQueue(Protocol):
    """Knows of the hashes that run and wait, and how many were refused."""

    @property
    def workers(self) -> int: ...
    @property
    def running(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def refused(self) -> int: ...


class Pool(Protocol):
    """Knows of the connections that are lent and waited for, and how often none was had."""

    @property
    def size(self) -> int: ...
    @property
    def in_use(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def failures(self) -> int: ...


class HostClock(Protocol):
    """Knows by how many seconds the clock of this host is ahead of that of Postgres."""

    @property
    def offset(self) -> float: ...


class Tokens(Protocol):
    """Knows how many tokens were issued, and revoked for which reason."""

    @property
    def issued(self) -> int: ...
    @property
    def revoked(self) -> Mapping[str, int]: ...


class Log(Protocol):
    """Knows how many lines of the log were dropped."""

    @property
    def dropped(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """What is read when somebody asks."""

    queue: HashQueue
    pool: Pool
    tokens: Tokens
    events: Mapping[str, int]
    lookup_failures: Callable[[], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Exposition:
    """All metrics as text, in the format that was asked for."""

    content_type: str
    text: bytes


class _Only(Collector):
    """Some metrics alone."""

    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


class Metrics(Collector):
    """All that is measured. Everything in it happens on the event loop.

    ``problems`` are the names of all problems: each is told from the beginning, as 0, for
    Prometheus does not see a count rise that comes into being as 1.
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
        self._sources: Sources | None = None
        self._running: Requests | None = None
        self._clock: HostClock | None = None
        self._log: Log | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        series = self._requests.get((route, method, status))
        if series is None:
            series = self._request_series(route, method, status)
        series.observe(seconds)

    def problem(self, name: str) -> None:
        """Count a problem that a client was told of."""
        self._problems[name] = self._problems.get(name, 0) + 1

    def hash_waited(self, seconds: float) -> None:
        """Count what a caller waited for a slot to hash in."""
        self._hash_wait_seconds.observe(seconds)

    def hashed(self, seconds: float) -> None:
        """Count what a hash took."""
        self._hash_seconds.observe(seconds)

    def lent(self, waited_seconds: float) -> None:
        """Count a connection that was lent, and what was waited for it."""
        self._connection_wait_seconds.observe(waited_seconds)

    def lagged(self, seconds: float) -> None:
        """Count how late the event loop was, at one look."""
        self._lag_seconds.observe(seconds)

    def lookup(self, name: str) -> Callable[[int, float], None]:
        """Return what counts the statements of a look-up: their keys, and their seconds."""
        keys = self._lookup_keys[name] = Histogram(KEYS)
        seconds = self._lookup_seconds[name] = Histogram(SECONDS)

        def observe(size: int, took: float) -> None:
            keys.observe(size)
            seconds.observe(took)

        return observe

    def watch(self, sources: Sources) -> None:
        """Read these from now on, when somebody asks."""
        self._sources = sources

    def watch_requests(self, requests: Requests) -> None:
        """Read these as well."""
        self._running = requests

    def watch_clock(self, clock: HostClock) -> None:
        """Read this as well."""
        self._clock = clock

    def watch_log(self, log: Log) -> None:
        """Read this as well."""
        self._log = log

    async def expose(self, accept: str) -> Exposition:
        """Return everything, in the format that an Accept header asks for.

        All is read at one time, but written down metric by metric, with turns of the loop between
        them: several milliseconds of work would make requests wait.
        """
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is none; nobody means anything by it
            encode, content_type = choose_encoder("")
        parts = []
        for metric in list(self._registry.collect()):
            parts.append(encode(_Only(metric)).removesuffix(_END))
            await asyncio.sleep(0)
        is_open_metrics = encode(_Only()) == _END
        return Exposition(content_type, b"".join(parts) + (_END if is_open_metrics else b""))

    def collect(self) -> Iterator[Metric]:
        """Yield what prometheus-client writes down."""
        build = InfoMetricFamily("userauth_build", "Version of the server, and of its Python.")
        build.add_metric([], self._build)
        yield build
        yield from self._collect_requests()
        yield _counters(
            "userauth_problems",
            "Refusals and failures, by problem type.",
            "problem",
            self._problems,
        )
        yield _histogram(
            "userauth_hash_seconds", "What a password's hash took.", self._hash_seconds
        )
        yield _histogram(
            "userauth_hash_wait_seconds",
            "What a hash waited for a worker.",
            self._hash_wait_seconds,
        )
        yield _histogram(
            "userauth_pool_wait_seconds",
            "What was waited for a connection to the database.",
            self._connection_wait_seconds,
        )
        yield _histograms(
            "userauth_lookup_seconds",
            "What a statement took that requests share.",
            "lookup",
            self._lookup_seconds,
        )
        yield _histograms(
            "userauth_lookup_keys",
            "How many keys such a statement asked for.",
            "lookup",
            self._lookup_keys,
        )
        yield _histogram(
            "userauth_event_loop_lag_seconds",
            "How late the event loop was, looked at ten times a second.",
            self._lag_seconds,
        )
        if self._running is not None:
            yield _gauge("userauth_requests_running", "Requests that run.", self._running.running)
            yield _gauge(
                "userauth_draining", "1 while the server stops.", int(self._running.draining)
            )
        if self._clock is not None:
            yield _gauge(
                "userauth_clock_offset_seconds",
                "How far the clock of this host is ahead of that of Postgres.",
                self._clock.offset,
            )
        if self._log is not None:
            yield CounterMetricFamily(
                "userauth_log_lines_dropped", "Lines of the log that were lost.", self._log.dropped
            )
        if self._sources is not None:
            yield from _read(self._sources)

    def _request_series(self, route: str, method: str, status: int) -> Histogram:
        """Return what counts such requests: of no more kinds than there are routes and statuses."""
        return self._requests.setdefault((route, known_method(method), status), Histogram(SECONDS))

    def _collect_requests(self) -> Iterator[Metric]:
        counts = CounterMetricFamily(
            "userauth_requests",
            "Requests that were answered.",
            labels=["route", "method", "status"],
        )
        by_class: dict[tuple[str, str, str], list[Histogram]] = {}
        for (route, method, status), series in sorted(self._requests.items()):
            counts.add_metric([route, method, str(status)], series.count)
            by_class.setdefault((route, method, f"{status // 100}xx"), []).append(series)
        yield counts
        seconds = HistogramMetricFamily(
            "userauth_request_seconds",
            "What requests took, from their head to their answer, by the class of the status.",
            labels=["route", "method", "status"],
        )
        for labels, several in by_class.items():
            summed = Histogram.together(several)
            seconds.add_metric(labels, summed.buckets(), summed.sum)
        yield seconds


def _read(sources: Sources) -> Iterator[Metric]:
    queue, pool, tokens = sources.queue, sources.pool, sources.tokens
    yield _gauge("userauth_hash_workers", "Threads that hash.", queue.workers)
    yield _gauge("userauth_hashes_running", "Hashes that have a worker.", queue.running)
    yield _gauge("userauth_hashes_waiting", "Hashes that wait for a worker.", queue.waiting)
    yield CounterMetricFamily(
        "userauth_hashes_refused", "Hashes refused: the wait was too long.", queue.refused
    )
    yield _gauge("userauth_pool_size", "Connections that may be lent at a time.", pool.size)
    yield _gauge("userauth_pool_in_use", "Connections that are lent.", pool.in_use)
    yield _gauge("userauth_pool_waiting", "Who waits for a connection.", pool.waiting)
    yield CounterMetricFamily(
        "userauth_pool_failures", "How often no connection could be had.", pool.failures
    )
    yield _counters(
        "userauth_lookup_failures",
        "Statements that requests share, and that failed.",
        "lookup",
        sources.lookup_failures(),
    )
    yield CounterMetricFamily("userauth_tokens_issued", "Tokens issued.", tokens.issued)
    yield _counters(
        "userauth_tokens_revoked", "Good tokens revoked, by reason.", "reason", tokens.revoked
    )
    yield _counters("userauth_events", "Events written to the audit trail.", "kind", sources.events)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value)


def _counters(name: str, documentation: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _histogram(name: str, documentation: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(name, documentation, histogram.buckets(), histogram.sum)


def _histograms(
    name: str, documentation: str, label: str, histograms: Mapping[str, Histogram]
) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=[label])
    for value, histogram in histograms.items():
        family.add_metric([value], histogram.buckets(), histogram.sum)
    return family

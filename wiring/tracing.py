"""Traces: spans of requests are sent to an OpenTelemetry collector if the environment names one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ops.request_log import RequestEvents
from wiring.errors import StartError
from wiring.program import version

if TYPE_CHECKING:
    from ops.traces import TracedRequests

# The variables from which OpenTelemetry itself reads the URL of the collector.
_COLLECTOR = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@contextmanager
def traced(log: RequestEvents, clock: Callable[[], float]) -> Iterator[RequestEvents]:
    """Yield a request log that sends spans as well, or the same log without a collector."""
    tracing = find_tracing()
    if tracing is None:
        yield log
        return
    service = os.environ.get("OTEL_SERVICE_NAME") or "userauth"
    traced_log = tracing(log, clock, service, version())
    try:
        yield traced_log
    finally:
        traced_log.close()


def find_tracing() -> "type[TracedRequests] | None":
    """Return the class that sends spans, or None if the environment names no collector.

    Raises StartError if the packages of OpenTelemetry are missing.
    """
    if not any(os.environ.get(name) for name in _COLLECTOR):
        return None
    try:
        from ops.traces import TracedRequests  # noqa: PLC0415 - its packages are optional
    except ImportError:
        raise StartError(
            f"{_COLLECTOR[0]} is set, and OpenTelemetry is not installed:"
            " pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http."
        ) from None
    return TracedRequests

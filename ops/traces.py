"""Requests as OpenTelemetry spans, if its packages are installed and a collector is configured.

A span is created when its request has ended. The variables of OpenTelemetry's specification
configure the collector and the sampling (OTEL_EXPORTER_OTLP_…, OTEL_TRACES_SAMPLER,
OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES).
"""

from collections.abc import Callable
from http import HTTPStatus
from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from ops.request_log import RequestEvents, RequestRecord
from ops.trace_context import TraceParent

_NANOSECONDS = 1_000_000_000
_LAST_SPANS_SECONDS = 2.0


class TracedRequests:
    """Sends a span for each request, and passes its record on to the log."""

    def __init__(
        self, log: RequestEvents, clock: Callable[[], float], service: str, version: str
    ) -> None:
        self._log = log
        self._clock = clock
        self._provider = TracerProvider(
            resource=Resource.create({SERVICE_NAME: service, "service.version": version}),
            shutdown_on_exit=False,
        )
        # A thread sends spans in batches; it drops those that it cannot send in time.
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("userauth", version)

    def write(self, record: RequestRecord) -> None:
        """Log a request, and queue its span."""
        self._log.write(record)
        ended = int(self._clock() * _NANOSECONDS)
        span = self._tracer.start_span(
            f"{record.method} {record.route}",
            context=set_span_in_context(NonRecordingSpan(_remote(record.trace)))
            if record.trace
            else None,
            kind=SpanKind.SERVER,
            start_time=ended - int(record.milliseconds * _NANOSECONDS / 1000),
            attributes={
                "http.request.method": record.method,
                "http.route": record.route,
                "http.response.status_code": record.status,
                "userauth.request_id": record.request_id,
                "userauth.database_milliseconds": round(record.database_milliseconds, 2),
                "userauth.hashing_milliseconds": round(record.hashing_milliseconds, 2),
            },
        )
        if record.client_request_id is not None:
            span.set_attribute("userauth.client_request_id", record.client_request_id)
        if record.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        span.end(ended)

    def close(self) -> None:
        """Send the remaining spans, if the collector accepts them within the time limit."""
        sending = Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        sending.start()
        sending.join(_LAST_SPANS_SECONDS)


def _remote(trace: TraceParent) -> SpanContext:
    return SpanContext(
        int(trace.trace_id, 16),
        int(trace.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if trace.is_sampled else TraceFlags.DEFAULT),
    )

"""Requests as spans of OpenTelemetry, sent to a collector."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.harness.api import PASSWORD
from tests.harness.processes import free_port, running_server

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(ThreadingHTTPServer):
    """Receives spans as a collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Export)
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class _Export(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") is None:
            self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def attributes(span: Span) -> dict[str, object]:
    return {
        each.key: each.value.string_value or each.value.int_value or each.value.double_value
        for each in span.attributes
    }


def test_each_request_is_a_span_with_the_parent_from_its_header(
    dsn: str, tmp_path: Path, collector: Collector
) -> None:
    variables = {"DATABASE_URL": dsn, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with running_server(variables, tmp_path / "log") as server:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            account = {"email": "susan@example.com", "password": PASSWORD}
            client.post("/api/user/register", json=account)
            fields = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "id-7"}
            client.get("/api/user?secret=1", auth=(account["email"], PASSWORD), headers=fields)
            unsampled = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
            client.get("/health/live", headers=unsampled)
        assert server.stop() == 0
    register, get = collector.spans()
    assert (register.name, get.name) == ("POST /api/user/register", "GET /api/user")
    assert register.kind == Span.SPAN_KIND_SERVER
    assert (get.trace_id.hex(), get.parent_span_id.hex()) == (TRACE, PARENT)
    assert register.parent_span_id == b""
    found = attributes(get)
    assert found["http.response.status_code"] == 422
    assert found["userauth.client_request_id"] == "id-7"
    assert 0 < get.end_time_unix_nano - get.start_time_unix_nano < 10**10
    assert get.status.code == Status.STATUS_CODE_UNSET
    sent = b"".join(request.SerializeToString() for request in collector.requests)
    for secret in (PASSWORD, "susan@example.com", "secret"):
        assert secret.encode() not in sent


def test_an_unavailable_collector_blocks_neither_requests_nor_shutdown(
    dsn: str, tmp_path: Path
) -> None:
    unavailable = f"http://127.0.0.1:{free_port()}"
    variables = {"DATABASE_URL": dsn, "OTEL_EXPORTER_OTLP_ENDPOINT": unavailable}
    with running_server(variables, tmp_path / "log") as server:
        assert httpx.get(f"{server.url}/health/live", timeout=30).status_code == 200
        assert server.stop() == 0

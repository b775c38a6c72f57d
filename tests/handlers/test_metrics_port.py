"""The port of /metrics: its formats, its only path, and its connections."""

import asyncio

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open_metrics,
)
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from tests.harness.api import Answer, Api, check_invariants
from tests.harness.configuration import override_settings
from tests.harness.waiting import until

# The port only enables metrics: these tests listen themselves.
pytestmark = override_settings(METRICS__PORT=9464)


async def fetch(port: int, path: str = "/metrics", **request: object) -> HTTPResponse:
    client = AsyncHTTPClient(force_instance=True)
    try:
        return await client.fetch(
            f"http://127.0.0.1:{port}{path}",
            raise_error=False,
            allow_nonstandard_methods=True,
            **request,
        )
    finally:
        client.close()


@pytest.mark.gen_test
async def test_the_format_follows_accept(port: int) -> None:
    plain = await fetch(port)
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# EOF" not in plain.body
    asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
    open_metrics = await fetch(port, headers=asked)
    assert open_metrics.headers["Content-Type"].startswith(
        "application/openmetrics-text; version=1"
    )
    assert open_metrics.body.endswith(b"\n# EOF\n")
    assert open_metrics.body.count(b"# EOF") == 1
    for odd in ("text/plain; version=x", "application/openmetrics-text; version=.."):
        assert (await fetch(port, headers={"Accept": odd})).code == 200
    assert len(list(parse_open_metrics(open_metrics.body.decode()))) > 20  # type: ignore[no-untyped-call]
    head = await fetch(port, method="HEAD")
    assert (head.code, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) > 1000


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/", "/metrics/", "/api/user", "/health/live", "/metricsx"])
async def test_the_metrics_port_has_no_other_path(port: int, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        body = b"" if method == "POST" else None
        answer = await fetch(port, path, method=method, body=body)
        assert answer.code == 404
        check_invariants(Answer(answer.code, answer.headers, answer.body or b""), method=method)


@pytest.mark.gen_test
@pytest.mark.parametrize("method", ["POST", "DELETE", "TRACE", "SUSAN"])
async def test_the_metrics_port_supports_only_reading(port: int, method: str) -> None:
    body = b"" if method == "POST" else None
    answer = await fetch(port, method=method, body=body)
    assert (answer.code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    check_invariants(Answer(answer.code, answer.headers, answer.body), method=method)


@pytest.mark.gen_test
async def test_options_lists_the_methods_of_the_metrics(port: int) -> None:
    answer = await fetch(port, method="OPTIONS")
    assert (answer.code, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.gen_test
async def test_the_port_of_the_api_has_no_metrics(api: Api, port: int) -> None:
    assert port
    answer = await api.request("GET", "/metrics")
    assert (answer.status, answer.problem) == (404, "not-found")


@pytest.mark.gen_test
async def test_the_metrics_port_keeps_few_connections_open(port: int) -> None:
    writers = []
    try:
        readers = []
        for _ in range(40):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            readers.append(reader)
            writers.append(writer)
        assert (await fetch(port)).code == 200
        await until(lambda: sum(not reader.at_eof() for reader in readers) <= 20)
    finally:
        for writer in writers:
            writer.close()

"""The HTTP connection that the bench and the soak share."""

import asyncio
import time

import pytest

from tests.harness.http_connection import Connection, MalformedResponse, Response
from tests.harness.stub_server import http_response, stub_server

REQUEST = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def request(response: bytes, times: int = 1) -> list[Response]:
    """Send requests on one connection to a server that closes after each response."""

    async def send_all(port: int) -> list[Response]:
        connection = Connection(port)
        responses = [await connection.request(REQUEST) for _ in range(times)]
        connection.close()
        return responses

    with stub_server(response) as stub:
        responses = asyncio.run(send_all(port_of(stub.url)))
        assert len(stub.requests) == times
    return responses


def test_a_response_has_its_status_headers_body_and_time() -> None:
    started = time.perf_counter()
    [response] = request(http_response(503, b"{}", "Retry-After: 3", "X-Empty:"))
    assert (response.status, response.body, response.retry_after) == (503, b"{}", 3)
    assert response.header("content-type") == "application/json"
    assert response.header("x-empty") == ""
    assert response.header("Retry") is None
    assert started < response.received_at < time.perf_counter()


def test_a_request_opens_a_new_connection_after_a_response_with_connection_close() -> None:
    responses = request(http_response(200, b"{}"), times=3)
    assert [response.status for response in responses] == [200, 200, 200]


def test_a_retry_after_that_is_not_a_number_is_none() -> None:
    [response] = request(http_response(503, b"{}", "Retry-After: soon"))
    assert response.retry_after is None


@pytest.mark.parametrize("sent", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_bytes_that_are_not_a_response_are_malformed(sent: bytes) -> None:
    with pytest.raises(MalformedResponse):
        request(sent)


def test_an_incomplete_response_is_a_connection_error() -> None:
    with pytest.raises(ConnectionError, match="closed"):
        request(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{")


def test_a_response_204_has_no_body() -> None:
    [response] = request(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    assert (response.status, response.body) == (204, b"")

"""Requests that the application fails to accept: answered, not counted, and closed."""

from typing import cast

import pytest
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest

from tests.harness.api import Api
from tests.harness.memory_transport import EchoApplication, answer_in_parts, new_connection
from tests.harness.raw_http import answers_to, chunked, raw_request
from transport.exchange import Exchange
from transport.head import MAX_BYTES

FIRST = raw_request("GET", "/first")
RESPONSE = b"HTTP/1.1 200 OK\r\n\r\n"
FAILING = {
    "no body": raw_request("GET", "/fails"),
    "a body": raw_request("POST", "/fails", body=b"abc"),
    "chunks": raw_request("POST", "/fails", "Transfer-Encoding: chunked", body=chunked(b"abc")),
    "too large a body": raw_request("POST", "/fails", body=b"x" * 1_001),
    "a rejected head": raw_request("GET", "/fails", "Transfer-Encoding: gzip"),
    "too large a head": raw_request("GET", "/fails", f"X-Long: {'x' * MAX_BYTES}"),
}


class FailingApplication(EchoApplication):
    """An application that fails to find the handler of a path."""

    def delegate_of(self, request: HTTPServerRequest) -> HTTPMessageDelegate:
        """Return the delegate that runs the handler of a request."""
        if request.path == "/fails":
            raise RuntimeError("on purpose")
        return super().delegate_of(request)


@pytest.mark.parametrize("failing", FAILING.values(), ids=FAILING.keys())
@pytest.mark.parametrize("before", [b"", FIRST], ids=["first", "second"])
@pytest.mark.gen_test
async def test_a_request_that_the_application_fails_to_accept_is_500(
    before: bytes, failing: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    application = FailingApplication()
    sent, closes = await answer_in_parts(application, [before + failing + FIRST])
    assert sent.count(b"HTTP/1.1 200 OK") == before.count(FIRST)
    assert sent.count(b"HTTP/1.1 500 Internal Server Error") == 1
    assert sent.endswith(b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert closes
    assert application.running == 0
    assert [record.getMessage() for record in caplog.records] == ["a request could not be run"]
    caplog.clear()


class RespondingDelegate(HTTPMessageDelegate):
    """A request that responds, and then fails."""

    def __init__(self, exchange: Exchange, *, closes: bool) -> None:
        self._exchange = exchange
        self._closes = closes

    def finish(self) -> None:
        """Send the last response, and fail."""
        self._exchange.respond(RESPONSE, b"", closes=self._closes)
        raise RuntimeError("on purpose")


class RespondingApplication(EchoApplication):
    """An application that fails after its response."""

    def __init__(self, *, closes: bool) -> None:
        super().__init__()
        self._closes = closes

    def delegate_of(self, request: HTTPServerRequest) -> HTTPMessageDelegate:
        """Return the delegate that responds."""
        return RespondingDelegate(cast(Exchange, request.connection), closes=self._closes)


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.gen_test
async def test_a_failure_after_a_response_sends_no_other_one(
    closes: bool,  # noqa: FBT001 - a parameter of pytest
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent, closes = await answer_in_parts(RespondingApplication(closes=closes), [FIRST])
    assert (sent, closes) == (RESPONSE, True)
    assert caplog.messages == ["a request could not be run"]
    caplog.clear()


@pytest.mark.parametrize("before", [b"", raw_request("GET", "/health/live")])
@pytest.mark.gen_test
async def test_a_host_with_a_port_of_too_many_digits_is_400(api: Api, before: bytes) -> None:
    request = f"GET /health/live HTTP/1.1\r\nHost: a:{'1' * 5_000}\r\n\r\n".encode()
    served = before.count(b"GET")
    *earlier, answer = await answers_to(api, before + request, ["GET"] * (served + 1))
    assert [each.status for each in earlier] == [200] * served
    assert (answer.status, answer.problem) == (400, "malformed-request")
    assert answer.headers["Connection"] == "close"


@pytest.mark.gen_test
async def test_a_response_to_a_request_that_is_no_longer_current_is_not_sent() -> None:
    connection, transport = new_connection(EchoApplication())
    Exchange(connection, keeps_open=True).respond(b"HTTP/1.1 200 OK\r\n\r\n", b"", closes=True)
    assert (bytes(transport.sent), transport.has_ended) == (b"", False)
    connection.connection_lost(None)

"""A request has what a request of Tornado has."""

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from transport.exchange import Exchange
from transport.request import Request


class Client:
    """A client that has an address, and receives nothing."""

    remote_ip = "192.0.2.1"
    protocol = "https"
    is_lost = False
    has_received_more = False

    def end_exchange(
        self, exchange: Exchange, head: bytes, content: bytes, *, closes: bool
    ) -> None:
        raise NotImplementedError


def public_attributes(request: HTTPServerRequest) -> dict[str, object]:
    return {name: value for name, value in vars(request).items() if not name.startswith("_")}


@pytest.mark.parametrize("target", ["/", "/api/user", "/x?", "/x?a=b&a=c&d", "http://x/y", "*"])
@pytest.mark.parametrize("host", ["example.com", "EXAMPLE.com:80", "[::1]:80", ""])
def test_a_request_has_the_public_attributes_of_tornado(target: str, host: str) -> None:
    line = RequestStartLine("POST", target, "HTTP/1.1")
    fields = HTTPHeaders({"Host": host})
    exchange = Exchange(Client(), keeps_open=True)
    theirs = HTTPServerRequest(start_line=line, headers=fields, connection=exchange, body=b"x")
    ours = Request(line, fields, exchange, b"x")
    assert public_attributes(ours) == public_attributes(theirs)


def test_a_request_of_http_1_0_needs_no_host() -> None:
    line = RequestStartLine("GET", "/", "HTTP/1.0")
    request = Request(line, HTTPHeaders(), Exchange(Client(), keeps_open=False), b"")
    assert (request.host, request.host_name) == ("127.0.0.1", "127.0.0.1")


def test_the_time_of_a_request_does_not_depend_on_the_time_of_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = RequestStartLine("GET", "/?x", "HTTP/1.0")
    request = Request(line, HTTPHeaders(), Exchange(Client(), keeps_open=False), b"")
    for moment in (0.0, 4e9):
        monkeypatch.setattr("time.time", lambda moment=moment: moment)
        assert 0 <= request.request_time() < 1_000

"""The client's address: read past trusted proxies, and never chosen by the client."""

import random
from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from rules.origin import network_of
from transport.client_address import ClientAddresses

PROXIES = ("10.0.0.0/8", "2001:db8:aaaa::/48")
CLIENT = "203.0.113.7"
GARBAGE = [
    "",
    " ",
    "unknown",
    "_hidden",
    "unix:",
    "localhost",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "01.2.3.4",
    "1.2.3.4/32",
    "1.2.3.4%eth0",
    "1.2.3.4:",
    "1.2.3.4:http",
    "1.2.3.4:123456",
    "[1.2.3.4",
    "1.2.3.4]",
    "[2001:db8::1",
    "[2001:db8::1]443",
    "[2001:db8::1]:",
    "[]:443",
    "2001:db8:::1",
    "fe80::1%",
    "\xb9.2.3.4",
    "1.2.3.4:\xb9",
    "1.2.3.4\xa0",
    "\xa01.2.3.4",
    '"1.2.3.4"',
    "for=1.2.3.4",
    "1.2.3.4;5.6.7.8",
    "1.2.3.4 5.6.7.8",
    "0.0.0.0",  # noqa: S104
    "::",
    "fe80::1%" + "a" * 100,
    "1" * 10_000,
]


def request_from(peer: str | None, headers: HTTPHeaders) -> HTTPServerRequest:
    headers["Host"] = "example.com"
    start_line = RequestStartLine("GET", "/", "HTTP/1.1")
    request = HTTPServerRequest(start_line=start_line, headers=headers)
    # The constructor would read it from a connection.
    request.remote_ip = peer
    return request


def address_of(
    peer: str | None, *forwarded: str, trusted: Sequence[str] = PROXIES, times: int = 2
) -> str | None:
    """Return the address of a request with such fields, the same each time."""
    headers = HTTPHeaders()
    for line in forwarded:
        headers.add("X-Forwarded-For", line.strip(" \t"))  # as the parser does
    request = request_from(peer, headers)
    addresses = ClientAddresses(trusted)
    [address] = {addresses.of(request) for _ in range(times)}
    return address


@pytest.mark.parametrize("trusted", [(), PROXIES])
def test_without_x_forwarded_for_the_client_is_the_peer(trusted: Sequence[str]) -> None:
    for peer in (CLIENT, "10.0.0.1", "2001:db8::1", "2001:db8:aaaa::1"):
        assert address_of(peer, trusted=trusted) == peer


@pytest.mark.parametrize("trusted", [(), PROXIES, ("0.0.0.0/0", "::/0")])
@pytest.mark.parametrize("peer", [None, "", "0.0.0.0", "::", "/run/socket", "garbage"])  # noqa: S104
def test_a_peer_without_an_address_has_none_whatever_it_sends(
    peer: str | None, trusted: Sequence[str]
) -> None:
    assert address_of(peer, trusted=trusted) is None
    assert address_of(peer, CLIENT, trusted=trusted) is None


@pytest.mark.parametrize("trusted", [(), PROXIES])
@pytest.mark.parametrize(
    "forged", ["198.51.100.1", "10.0.0.1", f"198.51.100.1, {CLIENT}", "10.0.0.1, 10.0.0.2", "x"]
)
def test_x_forwarded_for_of_an_untrusted_peer_is_ignored(
    trusted: Sequence[str], forged: str
) -> None:
    assert address_of(CLIENT, forged, trusted=trusted) == CLIENT
    assert address_of("2001:db8::1", forged, trusted=trusted) == "2001:db8::1"


def test_by_default_no_proxy_is_trusted() -> None:
    for peer in ("127.0.0.1", "::1", "10.0.0.1"):
        assert address_of(peer, CLIENT, trusted=()) == peer


@pytest.mark.parametrize("peer", ["10.0.0.1", "2001:db8:aaaa::1"])
@pytest.mark.parametrize(
    "forwarded",
    [
        (CLIENT,),
        (f"  {CLIENT}\t",),
        (f"198.51.100.1,{CLIENT}",),
        (f"198.51.100.1, {CLIENT}, 10.0.0.2,2001:db8:aaaa::2",),
        (f"10.0.0.9, {CLIENT}, 10.0.0.2",),
        (f"garbage, , {CLIENT}, 10.0.0.2",),
        ("198.51.100.1", CLIENT),
        ("198.51.100.1", f"garbage, {CLIENT}", "10.0.0.3, 10.0.0.2"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_trusted_proxy(
    peer: str, forwarded: Sequence[str]
) -> None:
    assert address_of(peer, *forwarded) == CLIENT


def test_if_all_addresses_are_trusted_the_client_is_the_leftmost() -> None:
    assert address_of("10.0.0.1", "10.0.0.3, 10.0.0.2") == "10.0.0.3"
    assert address_of("10.0.0.1", "10.0.0.4", "10.0.0.3, 10.0.0.2") == "10.0.0.4"


@pytest.mark.parametrize("garbage", GARBAGE)
def test_an_invalid_entry_ends_the_search(garbage: str) -> None:
    assert address_of("10.0.0.1", garbage) == "10.0.0.1"
    assert address_of("10.0.0.1", f"198.51.100.1, {garbage}") == "10.0.0.1"
    assert address_of("10.0.0.1", f"198.51.100.1, {garbage}, 10.0.0.2") == "10.0.0.2"
    assert address_of("10.0.0.1", f"198.51.100.1,{garbage},10.0.0.3,10.0.0.2") == "10.0.0.3"
    assert address_of("10.0.0.1", f"{garbage}, {CLIENT}, 10.0.0.2") == CLIENT


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("1.2.3.4:5678", "1.2.3.4"),
        ("[1.2.3.4]:5678", "1.2.3.4"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:0DB8:0:0::0001", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%eth0]:443", "fe80::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("[::ffff:102:304]:5678", "1.2.3.4"),
    ],
)
def test_an_address_is_parsed_in_each_of_its_spellings(entry: str, address: str) -> None:
    assert address_of("10.0.0.1", entry) == address
    assert address_of("10.0.0.1", f"198.51.100.1, {entry}, 10.0.0.2:80") == address


@pytest.mark.parametrize("trusted", [(), PROXIES])
def test_a_peer_is_returned_in_one_spelling(trusted: Sequence[str]) -> None:
    assert address_of("::ffff:1.2.3.4", trusted=trusted) == "1.2.3.4"
    assert address_of("fe80::1%eth0", trusted=trusted) == "fe80::1"
    assert address_of("2001:0db8::0001", trusted=trusted) == "2001:db8::1"


def test_an_ipv4_address_written_as_ipv6_is_trusted_as_the_ipv4_address() -> None:
    for trusted in ("10.0.0.0/8", "::ffff:10.0.0.0/104"):
        for proxy in ("10.0.0.1", "::ffff:10.0.0.1", "::ffff:a00:1"):
            assert address_of(proxy, CLIENT, trusted=[trusted]) == CLIENT
            assert address_of("10.0.0.9", f"{CLIENT}, {proxy}", trusted=[trusted]) == CLIENT
        assert address_of("11.0.0.1", CLIENT, trusted=[trusted]) == "11.0.0.1"
    assert address_of("10.0.0.1", CLIENT, trusted=["::/0"]) == "10.0.0.1"


def test_a_single_address_can_be_trusted() -> None:
    for trusted in ("127.0.0.1", "127.0.0.1/32"):
        assert address_of("127.0.0.1", "127.0.0.5", trusted=[trusted]) == "127.0.0.5"
        assert address_of("127.0.0.5", CLIENT, trusted=[trusted]) == "127.0.0.5"


def test_an_invalid_network_cannot_be_trusted() -> None:
    with pytest.raises(ValueError, match="localhost"):
        ClientAddresses(["10.0.0.0/8", "localhost"])


def test_a_long_field_is_parsed_like_any_other() -> None:
    assert address_of("10.0.0.1", f"{'198.51.100.1, ' * 1_000}{CLIENT}, 10.0.0.2") == CLIENT
    assert address_of("10.0.0.1", f"{CLIENT}{', 10.0.0.2' * 99}") == CLIENT


def test_at_most_a_hundred_entries_are_parsed() -> None:
    assert address_of("10.0.0.1", f"{CLIENT}, 10.0.0.3{', 10.0.0.2' * 99}") == "10.0.0.3"
    assert address_of("10.0.0.1", f"{CLIENT}{', 10.0.0.2' * 1_000}") == "10.0.0.2"
    assert address_of("10.0.0.1", "," * 15_000) == "10.0.0.1"
    assert address_of("10.0.0.1", "x" * 15_000) == "10.0.0.1"


def test_different_requests_have_different_addresses() -> None:
    addresses = ClientAddresses(PROXIES)
    for number in range(300):
        for peer, expected in (("10.0.0.1", f"192.0.2.{number % 256}"), (CLIENT, CLIENT)):
            headers = HTTPHeaders({"X-Forwarded-For": f"192.0.2.{number % 256}"})
            assert addresses.of(request_from(peer, headers)) == expected


def test_garbage_never_raises_and_never_chooses_the_address() -> None:
    generator = random.Random(0)  # noqa: S311 - the same garbage in each run
    alphabet = "0123456789abcdef.:,[]% \t\xa0\xff\xb9x/-"
    for _ in range(3_000):
        garbage = "".join(generator.choices(alphabet, k=generator.randrange(60)))
        address = address_of("10.0.0.1", garbage, times=1)
        assert address is not None
        assert str(ip_address(address)) == address
        assert address_of(garbage, CLIENT, trusted=(), times=1) != CLIENT
        assert address_of("10.0.0.1", f"{garbage}, {CLIENT}", times=1) == CLIENT
        assert address_of("10.0.0.1", f"{garbage}, {CLIENT}, 10.0.0.2", times=1) == CLIENT
        assert address_of("10.0.0.1", f"{CLIENT}, x{garbage}", times=1) != CLIENT
        assert address_of(CLIENT, garbage, times=1) == CLIENT


def test_a_network_is_an_ipv4_address_or_an_ipv6_64() -> None:
    assert network_of(None) == "unknown"
    assert network_of("1.2.3.4") == "1.2.3.4"
    assert network_of("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert network_of("2001:db8:1:2:ffff:ffff:ffff:ffff") == "2001:db8:1:2::/64"
    assert network_of("2001:db8:1:3::1") == "2001:db8:1:3::/64"
    assert network_of("::1") == "::/64"

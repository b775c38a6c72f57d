"""The hosts of a DSN, and the order in which they are tried."""

import asyncio

import pytest

from db.dsn import describe, parse_url
from db.errors import InvalidUrl, Unavailable
from db.hosts import Host, find_hosts, resolve
from db.route import Route
from ops.host_names import HostNames
from tests.harness.threads import no_new_threads


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://one/x", [Host("one")]),
        ("postgresql://one:1/x", [Host("one", port="1")]),
        ("postgresql://one:1,[::1]:2/x", [Host("one", port="1"), Host("::1", port="2")]),
        ("postgresql://one,two:2/x", [Host("one", port="5432"), Host("two", port="2")]),
        ("postgresql://one,two/x?port=9", [Host("one", port="9"), Host("two", port="9")]),
        (
            "postgresql:///x?host=/run/a,one&port=1,2",
            [Host("/run/a", port="1"), Host("one", port="2")],
        ),
        ("postgresql://one/x?hostaddr=10.0.0.5", [Host("one", "10.0.0.5")]),
        ("postgresql:///x?hostaddr=10.0.0.5,::1", [Host("", "10.0.0.5"), Host("", "::1")]),
        ("postgresql:///x?host=one,two&hostaddr=10.0.0.5,", [Host("one", "10.0.0.5"), Host("two")]),
        ("postgresql:///x", [Host()]),
    ],
)
def test_hosts_are_read_as_libpq_does(url: str, hosts: list[Host]) -> None:
    assert find_hosts(parse_url(url)) == hosts


@pytest.mark.parametrize(
    ("host", "is_resolved"),
    [
        (Host("one"), False),
        (Host("one", port="1"), False),
        (Host("one", "10.0.0.5"), True),
        (Host("", "10.0.0.5"), True),
        (Host("/run/a"), True),
        (Host("@abstract"), True),
        (Host(), True),
    ],
)
def test_a_name_is_resolved_unless_it_is_that_of_a_socket(host: Host, *, is_resolved: bool) -> None:
    assert host.is_resolved is is_resolved


@pytest.mark.parametrize(
    "options", ["host=one,two&port=1,2,3", "host=one,two&hostaddr=::1", "host=one&port=1,2"]
)
def test_lists_of_different_lengths_are_rejected(options: str) -> None:
    with pytest.raises(InvalidUrl, match="different numbers of hosts, addresses and ports"):
        find_hosts(parse_url(f"postgresql:///x?{options}"))


def test_a_host_is_described_by_its_name_address_and_port() -> None:
    assert str(Host("one", "10.0.0.5", "5433")) == "one (10.0.0.5) port 5433"
    assert str(Host("10.0.0.5", "10.0.0.5", "5433")) == "10.0.0.5 port 5433"
    assert str(Host("", "10.0.0.5")) == "10.0.0.5"
    assert str(Host("/run/postgresql")) == "/run/postgresql"


def test_the_parameters_of_a_host_replace_those_of_all() -> None:
    assert Host("one", "10.0.0.5", "1").parameters == {
        "host": "one",
        "hostaddr": "10.0.0.5",
        "port": "1",
    }
    assert Host("/run/a").parameters == {"host": "/run/a", "hostaddr": ""}
    assert Host().parameters == {}


def test_the_last_primary_is_the_first_host_and_silent_ones_are_the_last() -> None:
    route = Route("postgresql://one,two,three/x")
    one, two, three = route.hosts
    assert route.in_order(route.hosts) == [one, two, three]
    # Its address is one of those of the name.
    assert not route.follow(Host("three", "10.0.0.3", "5432"))
    assert route.in_order(route.hosts) == [three, one, two]
    route.silent.add(Host("one", "10.0.0.1", "5432"))
    assert route.in_order(route.hosts) == [three, two, one]
    route.silent.add(Host("three", "10.0.0.3", "5432"))
    assert route.in_order(route.hosts) == [two, one, three]
    # A connection ends what was known of silence.
    assert route.follow(Host("two", "10.0.0.2", "5432"))
    assert route.in_order(route.hosts) == [two, one, three]
    assert not route.follow(Host("two", "10.0.0.2", "5432"))


def test_the_addresses_of_a_name_have_an_order_as_well() -> None:
    route = Route("postgresql://one/x")
    addresses = [Host("one", f"10.0.0.{number}") for number in (1, 2, 3)]
    route.follow(addresses[2])
    route.silent.add(addresses[0])
    assert route.in_order(addresses) == [addresses[2], addresses[1], addresses[0]]


def test_a_link_local_host_is_connected_to_in_its_zone() -> None:
    url = "postgresql://[fe80::1%25lo]:5433/x"
    [host] = find_hosts(parse_url(url))
    [resolved] = asyncio.run(resolve(host, HostNames()))
    assert resolved.parameters == {"host": "fe80::1%lo", "hostaddr": "fe80::1%lo", "port": "5433"}
    assert str(resolved) == "fe80::1%lo port 5433"
    assert describe(url) == "[fe80::1%lo]:5433/x"


def test_a_host_is_unavailable_while_no_thread_can_start() -> None:
    with no_new_threads(), pytest.raises(Unavailable) as caught:
        asyncio.run(resolve(Host("one.example"), HostNames()))
    assert str(caught.value) == (
        "the host name one.example cannot be resolved: can't start new thread"
    )

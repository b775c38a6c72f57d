"""Sockets to an SMTP server."""

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import aiopg
import psycopg2
import pytest

from mail.smtp_socket import connect
from ops.event_loop import EventLoop
from ops.host_names import HostNames
from settings.mail_url import Security, SmtpUrl
from tests.harness.jumping_clock import run_at_once
from tests.harness.processes import free_port
from tests.harness.threads import no_new_threads

SILENT, REFUSING = "127.0.0.2", "127.0.0.3"


class KnownNames(HostNames):
    """Resolves each name to the same addresses, without a thread, which the clock would outrun."""

    def __init__(self, *addresses: str) -> None:
        super().__init__()
        self._addresses = [*addresses]

    async def resolve(self, name: str) -> list[str]:
        assert name == "relay"
        return self._addresses


@contextmanager
def silent_port() -> Iterator[int]:
    """Yield a port at which SILENT drops attempts to connect, because its queue is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((SILENT, 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_the_mail_server_is_reached_after_postgres_has_refused_a_connection() -> None:
    """Libpq closes its socket while the loop still watches it."""

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = SmtpUrl("127.0.0.1", server.getsockname()[1], Security.NONE)
            with pytest.raises(psycopg2.OperationalError, match="refused"):
                await aiopg.connect(f"host=127.0.0.1 port={free_port()}")
            with await connect(url, HostNames(), 20) as connected:
                assert connected.getpeername() == server.getsockname()

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(run())


@pytest.mark.needs("IPv6")
def test_a_mail_server_with_ipv6_only_is_reached() -> None:
    async def run() -> None:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
            url = SmtpUrl("::1", server.getsockname()[1], Security.NONE)
            with await connect(url, HostNames(), 20) as connected:
                assert connected.getpeername() == server.getsockname()

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(run())


@pytest.mark.needs("IPv6")
def test_a_link_local_mail_server_is_connected_to_in_its_zone() -> None:
    async def run() -> None:
        # Linux rejects an address without a zone as an invalid argument.
        with pytest.raises(OSError, match=r"^Network is unreachable$"):
            await connect(SmtpUrl("fe80::1%lo", 25, Security.NONE), HostNames(), 20)

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(run())


def test_an_address_with_a_zone_whose_thread_cannot_start_has_a_reason() -> None:
    """The loop of asyncio needs a thread for it."""

    async def run() -> None:
        url = SmtpUrl("relay", 25, Security.NONE)
        with no_new_threads(), pytest.raises(OSError, match=r"^fe80::1%lo: can't start new thread"):
            await connect(url, KnownNames("fe80::1%lo"), 20)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(run())


@pytest.mark.parametrize(
    ("addresses", "seconds"),
    [
        ((SILENT,), 12),
        ((SILENT, REFUSING), 6),
        ((SILENT, REFUSING, REFUSING), 4),
        ((SILENT, SILENT, REFUSING), 8),
        # What an address leaves of its share is for the others.
        ((REFUSING, SILENT, REFUSING), 6),
    ],
)
def test_each_address_gets_an_equal_share_of_the_remaining_time(
    addresses: tuple[str, ...], seconds: float
) -> None:
    texts = {SILENT: "no response in time", REFUSING: "Connection refused"}
    message = "; ".join(f"{address}: {texts[address]}" for address in addresses)

    async def run(port: int) -> None:
        url = SmtpUrl("relay", port, Security.NONE)
        with pytest.raises(OSError, match=f"^{re.escape(message)}$"):
            await connect(url, KnownNames(*addresses), 12)

    with silent_port() as port:
        _, elapsed = run_at_once(run(port))
    assert elapsed == pytest.approx(seconds)

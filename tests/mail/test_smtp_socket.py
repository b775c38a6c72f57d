"""Sockets to an SMTP server."""

import socket

import aiopg
import psycopg2
import pytest

from mail.smtp_socket import connect
from ops.event_loop import EventLoop
from ops.host_names import HostNames
from settings.mail_url import Security, SmtpUrl
from tests.harness.processes import free_port


def test_the_mail_server_is_reached_after_postgres_has_refused_a_connection() -> None:
    """Libpq closes its socket while the loop still watches it."""

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = SmtpUrl("127.0.0.1", server.getsockname()[1], Security.NONE)
            with pytest.raises(psycopg2.OperationalError, match="refused"):
                await aiopg.connect(f"host=127.0.0.1 port={free_port()}")
            with await connect(url, HostNames(), 20) as connected:
                assert connected.getpeername() == server.getsockname()

    loop = EventLoop()
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()

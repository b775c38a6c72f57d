"""The texts of errors when a mail server cannot be connected to."""

import asyncio
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from mail.errors import RelayFault
from mail.smtp_connection import Server, Timeouts, discard, open_connection
from settings.mail_url import Security, SmtpUrl, parse_mail_url
from tests.harness.certificates import make_certificate
from tests.harness.name_servers import NameServers, name_servers
from tests.harness.processes import free_port
from tests.harness.smtp import DROP, HANG, SmtpServer, Step
from tests.harness.threads import no_new_threads


@pytest.fixture
def servers() -> Iterator[NameServers]:
    with name_servers(one="127.0.0.2", two="127.0.0.2,127.0.0.3") as servers:
        servers.silent.add("silent")
        servers.removed.add("removed")
        yield servers


def fault_of(url: str, *, seconds: float = 20, opening: float = 20) -> str:
    """Return the text of the fault when a server cannot be connected to."""
    parsed = parse_mail_url(url)
    assert isinstance(parsed, SmtpUrl)
    server = Server(parsed, "localhost", Timeouts(connect=seconds, opening=opening))

    async def run() -> None:
        discard(await open_connection(server))

    with pytest.raises(RelayFault) as caught:
        asyncio.run(run())
    return str(caught.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", pytest.param("[::1]", marks=pytest.mark.needs("IPv6"))]
)
def test_a_server_that_refuses_is_named_with_its_port(host: str) -> None:
    port = free_port()
    assert fault_of(f"smtp://{host}:{port}") == (
        f"connection: {host.strip('[]')} port {port}: Connection refused"
    )


@pytest.mark.usefixtures("servers")
def test_each_address_of_a_name_has_its_reason() -> None:
    port = free_port()
    assert fault_of(f"smtp://one:{port}") == (
        f"connection: one port {port}: 127.0.0.2: Connection refused"
    )
    assert fault_of(f"smtp://two:{port}") == (
        f"connection: two port {port}: 127.0.0.2: Connection refused; 127.0.0.3: Connection refused"
    )


def test_the_reasons_of_many_addresses_are_not_cut_off() -> None:
    port = free_port()
    addresses = [f"127.0.0.{number}" for number in range(2, 11)]
    reasons = "; ".join(f"{address}: Connection refused" for address in addresses)
    with name_servers(many=",".join(addresses)):
        assert fault_of(f"smtp://many:{port}") == f"connection: many port {port}: {reasons}"


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("removed", "the host name cannot be resolved: Name or service not known"),
        ("unknown", "the host name cannot be resolved: Temporary failure in name resolution"),
        ("silent", "the host name was not resolved in time"),
    ],
)
def test_a_name_that_is_not_resolved_is_in_the_error(host: str, reason: str) -> None:
    seconds = 0.1 if host == "silent" else 20
    assert fault_of(f"smtps://{host}", seconds=seconds) == f"connection: {host} port 465: {reason}"


def test_a_name_that_is_invalid_is_in_the_error() -> None:
    assert fault_of("smtp://a..b") == "connection: a..b port 25: the host name is invalid"


def test_a_name_whose_thread_cannot_start_is_in_the_error() -> None:
    with no_new_threads():
        assert fault_of("smtp://relay.example") == (
            "connection: relay.example port 25: the host name cannot be resolved:"
            " can't start new thread"
        )


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (HANG, "no response in time"),
        (DROP, "Unexpected EOF received"),
        ("554 5.3.2 No", "554 5.3.2 No"),
        ("421 Busy", "421 Busy"),
    ],
)
def test_a_server_without_a_greeting_is_named_with_its_port(failure: str, reason: str) -> None:
    with SmtpServer() as server:
        server.plan.failures = {Step.BANNER: failure}
        text = fault_of(server.url(), seconds=1 if failure == HANG else 20)
        assert text == f"connection: 127.0.0.1 port {server.port}: {reason}"


@pytest.mark.needs("openssl")
def test_a_certificate_that_is_not_verified_is_the_reason(tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*make_certificate(tmp_path))
    with SmtpServer(context, is_tls_from_start=True) as server:
        text = fault_of(server.url("smtps"))
        assert text == (
            f"connection: 127.0.0.1 port {server.port}: certificate verify failed:"
            " self-signed certificate"
        )


@pytest.mark.needs("IPv6", "openssl")
def test_a_certificate_has_an_address_without_its_zone(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    trusted = ssl.create_default_context(cafile=str(certificate))

    async def run(port: int) -> None:
        url = SmtpUrl("::1%1", port, Security.TLS)
        discard(await open_connection(Server(url, "localhost", tls=trusted)))

    with SmtpServer(context, is_tls_from_start=True, address="::1") as server:
        asyncio.run(run(server.port))


def test_a_server_without_tls_has_the_reason_of_openssl() -> None:
    with SmtpServer() as server:
        text = fault_of(server.url("smtps"))
        # Its words depend on the version of OpenSSL.
        assert re.fullmatch(rf"connection: 127\.0\.0\.1 port {server.port}: [a-z ]+", text)


def test_a_server_that_is_too_slow_is_named_with_its_port() -> None:
    with SmtpServer() as server:
        server.plan.failures = {Step.EHLO: HANG}
        assert fault_of(server.url(), opening=0.1) == (
            f"connection: 127.0.0.1 port {server.port}: not ready in 0.1 seconds"
        )

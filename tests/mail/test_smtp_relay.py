"""Sending by SMTP, to a server that fails at each step."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from mail.errors import MailError, Permanent, RelayFault, Temporary
from mail.smtp_connection import Server, Timeouts
from mail.smtp_relay import SmtpRelay
from settings.mail_url import SmtpUrl, parse_mail_url
from tests.harness.certificates import make_certificate
from tests.harness.name_servers import name_servers
from tests.harness.smtp import DROP, HANG, PASSWORD, RESET, USER, SmtpServer, Step
from tests.harness.waiting import WORK_SECONDS, until

pytestmark = pytest.mark.needs("openssl")
SENDER = "no-reply@example.com"
ALICE = "alice@example.com"

REFUSALS = [
    *((Step.BANNER, failure, RelayFault) for failure in ("421 Busy", "554 No", "no SMTP", DROP)),
    *((Step.EHLO, failure, RelayFault) for failure in ("421 Busy", "502 Unknown", DROP)),
    *((Step.STARTTLS, failure, RelayFault) for failure in ("454 Not now", "502 Unknown", DROP)),
    *((Step.AUTH, failure, RelayFault) for failure in ("454 Not now", "535 5.7.8 Wrong", DROP)),
    *(
        (step, failure, Temporary)
        for step in (Step.MAIL, Step.RCPT, Step.DATA, Step.BODY)
        for failure in ("421 Shutting down", "450 4.2.0 Later", "no SMTP", DROP)
    ),
    (Step.MAIL, "550 5.1.8 Sender rejected", RelayFault),
    (Step.RCPT, "550 5.1.1 No such user", Permanent),
    (Step.RCPT, "554 5.7.1 Relay access denied", RelayFault),
    (Step.DATA, "550 No valid recipients", Permanent),
    (Step.BODY, "550 Content rejected", Permanent),
]
EXPECTED_OF_HANGING = {
    **dict.fromkeys((Step.BANNER, Step.EHLO, Step.STARTTLS, Step.AUTH), RelayFault),
    **dict.fromkeys((Step.MAIL, Step.RCPT, Step.DATA, Step.BODY), Temporary),
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def offered(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture(scope="module")
def trusted(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


@pytest.fixture(scope="module")
def shared_server(offered: ssl.SSLContext) -> Iterator[SmtpServer]:
    with SmtpServer(offered) as server:
        yield server


@pytest.fixture
def server(shared_server: SmtpServer) -> SmtpServer:
    shared_server.reset()
    return shared_server


def message(to: str = ALICE) -> EmailMessage:
    made = EmailMessage()
    made["From"] = SENDER
    made["To"] = to
    made["Subject"] = "Hello"
    made.set_content("Hello.\n.\nA line with a dot is no end.\n")
    return made


def url_of(text: str) -> SmtpUrl:
    url = parse_mail_url(text)
    assert isinstance(url, SmtpUrl)
    return url


def relay_at(
    url: str, tls: ssl.SSLContext | None = None, timeouts: Timeouts | None = None
) -> SmtpRelay:
    return SmtpRelay(Server(url_of(url), "localhost", timeouts or Timeouts(), tls), SENDER)


def use(relay: SmtpRelay, work: Callable[[SmtpRelay], Awaitable[None]]) -> None:
    """Use a relay on a loop, within the time limit of a test, and close it."""

    async def run() -> None:
        try:
            async with asyncio.timeout(WORK_SECONDS):
                await work(relay)
        finally:
            await relay.close()

    asyncio.run(run())


async def send(relay: SmtpRelay, to: str = ALICE) -> None:
    await relay.send(message(to), to)


def encrypted_url(server: SmtpServer) -> str:
    return server.url("smtp+starttls", user=USER, password=PASSWORD)


def test_a_message_is_sent_encrypted_and_authenticated(
    server: SmtpServer, trusted: ssl.SSLContext
) -> None:
    use(relay_at(encrypted_url(server), trusted), send)
    (received,) = server.messages
    assert (received.sender, received.recipients) == (SENDER, (ALICE,))
    assert received.plain == "Hello.\n.\nA line with a dot is no end.\n"
    assert server.commands == [
        *(Step.BANNER, Step.EHLO, Step.STARTTLS, Step.EHLO, Step.AUTH),
        *(Step.MAIL, Step.RCPT, Step.DATA, Step.QUIT),
    ]


@pytest.mark.parametrize(("step", "failure", "expected"), REFUSALS)
def test_a_failure_at_a_step_has_its_error_and_the_next_message_is_sent(
    server: SmtpServer,
    trusted: ssl.SSLContext,
    step: Step,
    failure: str,
    expected: type[MailError],
) -> None:
    async def work(relay: SmtpRelay) -> None:
        server.plan.failures = {step: failure}
        with pytest.raises(MailError) as caught:
            await send(relay)
        assert type(caught.value) is expected
        server.plan.failures = {}
        server.messages.clear()
        await send(relay, "bob@example.com")
        assert [received.recipients for received in server.messages] == [("bob@example.com",)]

    use(relay_at(encrypted_url(server), trusted), work)


def test_a_server_that_hangs_at_a_step_has_its_error_in_time(
    offered: ssl.SSLContext, trusted: ssl.SSLContext
) -> None:
    timeouts = Timeouts(connect=3, command=3)

    async def error_at(step: Step) -> type[BaseException]:
        with SmtpServer(offered) as server:
            server.plan.failures = {step: HANG}
            with pytest.raises(MailError) as caught:
                await send(relay_at(encrypted_url(server), trusted, timeouts))
            return caught.type

    async def all_errors() -> dict[Step, type[BaseException]]:
        errors = await asyncio.gather(*(error_at(step) for step in EXPECTED_OF_HANGING))
        return dict(zip(EXPECTED_OF_HANGING, errors, strict=True))

    assert asyncio.run(all_errors()) == EXPECTED_OF_HANGING


@pytest.mark.parametrize(("step", "expected"), [(Step.EHLO, RelayFault), (Step.BODY, Temporary)])
def test_all_commands_together_have_a_limit_below_the_lease(
    server: SmtpServer, trusted: ssl.SSLContext, step: Step, expected: type[MailError]
) -> None:
    server.plan.failures = {step: HANG}
    limits = {"opening": 0.1} if step is Step.EHLO else {"transaction": 0.1}

    async def work(relay: SmtpRelay) -> None:
        with pytest.raises(expected, match=r"in 0\.1 seconds"):
            await send(relay)

    use(relay_at(encrypted_url(server), trusted, Timeouts(**limits)), work)
    timeouts = Timeouts()
    assert timeouts.connect + timeouts.opening + timeouts.transaction < 120


def test_a_connection_lost_after_the_message_is_temporary_although_it_arrived(
    server: SmtpServer,
) -> None:
    server.plan.failures = {Step.BODY: DROP}

    async def work(relay: SmtpRelay) -> None:
        with pytest.raises(Temporary):
            await send(relay)

    use(relay_at(server.url()), work)
    assert len(server.messages) == 1


@pytest.mark.parametrize("step", [Step.EHLO, Step.MAIL, Step.RCPT, Step.DATA])
def test_a_connection_that_is_reset_has_the_reason_of_the_system(
    server: SmtpServer, step: Step
) -> None:
    server.plan.failures = {step: RESET}

    async def work(relay: SmtpRelay) -> None:
        with pytest.raises(MailError, match=rf"^{step}.*: Connection reset by peer$"):
            await send(relay)

    use(relay_at(server.url()), work)


def test_a_refused_connection_is_a_fault_of_the_relay(server: SmtpServer) -> None:
    server.stop()

    async def work(relay: SmtpRelay) -> None:
        with pytest.raises(RelayFault, match="connection: "):
            await send(relay)

    try:
        use(relay_at(server.url()), work)
    finally:
        server.start()


def test_messages_share_a_connection_also_after_a_refusal(server: SmtpServer) -> None:
    server.plan.refused["bob@example.com"] = "550 5.1.1 No such user"

    async def work(relay: SmtpRelay) -> None:
        await send(relay)
        with pytest.raises(Permanent):
            await send(relay, "bob@example.com")
        await send(relay)

    use(relay_at(server.url()), work)
    assert [received.connection for received in server.messages] == [1, 1]
    assert server.connections == 1


def test_a_denial_after_a_sent_message_pauses_no_queue(server: SmtpServer) -> None:
    server.plan.refused["bob@example.com"] = "554 5.7.1 Relay access denied"

    async def work(relay: SmtpRelay) -> None:
        with pytest.raises(RelayFault):
            await send(relay, "bob@example.com")
        await send(relay)
        with pytest.raises(Temporary):
            await send(relay, "bob@example.com")

    use(relay_at(server.url()), work)


@pytest.mark.parametrize("failure", ["421 Too many messages", DROP])
def test_a_connection_that_no_longer_works_is_replaced(server: SmtpServer, failure: str) -> None:
    async def work(relay: SmtpRelay) -> None:
        await send(relay)
        server.plan.failures = {Step.RSET: failure}
        await send(relay)

    use(relay_at(server.url()), work)
    assert [received.connection for received in server.messages] == [1, 2]


def test_a_restarted_server_gets_the_next_message(server: SmtpServer) -> None:
    async def work(relay: SmtpRelay) -> None:
        await send(relay)
        server.stop()
        server.start()
        await send(relay)

    use(relay_at(server.url()), work)
    assert len(server.messages) == 2


def test_an_idle_connection_is_closed(server: SmtpServer) -> None:
    async def work(relay: SmtpRelay) -> None:
        await send(relay)
        await until(lambda: Step.QUIT in server.commands)
        await send(relay)

    use(relay_at(server.url(), timeouts=Timeouts(idle=0)), work)
    assert [received.connection for received in server.messages] == [1, 2]


def test_a_cancelled_message_leaves_no_connection_behind(server: SmtpServer) -> None:
    async def work(relay: SmtpRelay) -> None:
        server.plan.failures = {Step.BODY: HANG}
        sending = asyncio.create_task(send(relay))
        await until(lambda: Step.BODY in server.commands)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        server.plan.failures = {}
        await send(relay)

    use(relay_at(server.url()), work)
    assert [received.connection for received in server.messages] == [2]


def test_a_name_that_is_not_resolved_in_time_is_a_fault_of_the_relay() -> None:
    async def work(relay: SmtpRelay) -> None:
        with pytest.raises(RelayFault, match="silent port 25: the host name was not"):
            await send(relay)

    with name_servers() as servers:
        servers.silent.add("silent")
        use(relay_at("smtp://silent", timeouts=Timeouts(connect=0.1)), work)


def test_each_address_of_a_name_is_tried(server: SmtpServer) -> None:
    # The server listens on the second one only.
    with name_servers(relay="127.0.0.2,127.0.0.1"):
        use(relay_at(server.url().replace("127.0.0.1", "relay")), send)
    assert len(server.messages) == 1


def test_tls_from_the_start(offered: ssl.SSLContext, trusted: ssl.SSLContext) -> None:
    with SmtpServer(offered, is_tls_from_start=True) as server:
        use(relay_at(server.url("smtps", user=USER, password=PASSWORD), trusted), send)
        assert len(server.messages) == 1


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.1"], ids=["unknown issuer", "other name"])
def test_a_certificate_that_is_not_verified_is_a_fault_and_nothing_is_sent(
    offered: ssl.SSLContext, trusted: ssl.SSLContext, scheme: str, host: str
) -> None:
    async def work(relay: SmtpRelay) -> None:
        with pytest.raises(RelayFault, match="certificate verify failed"):
            await send(relay)

    with SmtpServer(offered, is_tls_from_start=scheme == "smtps") as server:
        url = server.url(scheme, user=USER, password=PASSWORD).replace("127.0.0.1", host)
        use(relay_at(url, trusted if host == "127.1" else None), work)
        assert not {Step.AUTH, Step.MAIL} & {*server.commands}


def test_a_server_without_starttls_gets_neither_password_nor_message() -> None:
    async def work(relay: SmtpRelay) -> None:
        with pytest.raises(RelayFault, match="STARTTLS"):
            await send(relay)

    with SmtpServer() as server:
        use(relay_at(encrypted_url(server)), work)
        assert server.commands == [Step.BANNER, Step.EHLO]


def test_a_url_without_tls_never_starts_it(server: SmtpServer) -> None:
    use(relay_at(server.url()), send)
    assert Step.STARTTLS not in server.commands
    assert len(server.messages) == 1


def test_a_wrong_password_is_a_fault_that_does_not_show_it(server: SmtpServer) -> None:
    async def work(relay: SmtpRelay) -> None:
        with pytest.raises(RelayFault) as caught:
            await send(relay)
        assert str(caught.value) == "AUTH: 535 5.7.8"

    use(relay_at(server.url(user=USER, password="wrong-password")), work)


def test_an_address_beyond_ascii_needs_smtputf8() -> None:
    async def refused(relay: SmtpRelay) -> None:
        with pytest.raises(Permanent, match="SMTPUTF8"):
            await send(relay, "jörg@example.com")
        await send(relay)

    async def accepted(relay: SmtpRelay) -> None:
        await send(relay, "jörg@example.com")

    with SmtpServer() as server:
        server.plan.supports_utf8 = False
        use(relay_at(server.url()), refused)
        server.plan.supports_utf8 = True
        use(relay_at(server.url()), accepted)
        recipients = [received.recipients for received in server.messages]
        assert recipients == [(ALICE,), ("jörg@example.com",)]


def test_a_unicode_domain_needs_no_smtputf8() -> None:
    async def work(relay: SmtpRelay) -> None:
        await relay.send(message(), "alice@straße.example")

    with SmtpServer() as server:
        server.plan.supports_utf8 = False
        use(relay_at(server.url()), work)
        assert server.messages[0].recipients == ("alice@xn--strae-oqa.example",)


@pytest.mark.parametrize("address", ["a@b.example>\r\nRSET", "a b@example.com", "a@\ud800.example"])
def test_an_address_that_is_no_part_of_a_command_is_permanent(
    server: SmtpServer, address: str
) -> None:
    async def work(relay: SmtpRelay) -> None:
        with pytest.raises(Permanent):
            await relay.send(message(), address)
        await send(relay)

    use(relay_at(server.url()), work)
    assert [received.recipients for received in server.messages] == [(ALICE,)]


def test_a_message_that_cannot_be_encoded_is_permanent(server: SmtpServer) -> None:
    broken = message()
    broken.set_payload("\ud800")

    async def work(relay: SmtpRelay) -> None:
        with pytest.raises(Permanent, match="cannot be encoded"):
            await relay.send(broken, ALICE)

    use(relay_at(server.url()), work)
    assert server.connections == 0

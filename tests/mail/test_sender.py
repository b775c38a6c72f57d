"""The sender: messages are claimed by a lease, sent, and deferred or given up after a failure."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from db import messages
from db.pool import Database
from mail import sender as sending
from mail.delivery import LEASE_SECONDS, Delivery
from mail.messages import Envelope
from mail.relay import Relay, make_relay
from mail.sender import Sender
from mail.smtp_connection import Timeouts
from rules.tokens import key_id
from settings.mail_url import parse_mail_url
from tests.harness.clock import Clock
from tests.harness.configuration import KEY
from tests.harness.gate import Gate
from tests.harness.mail_queue import count_in, insert_messages, numbered, states
from tests.harness.pool_limits import LIMITS
from tests.harness.smtp import Plan, SmtpServer, Step
from tests.harness.sql import run_sql
from tests.harness.waiting import until

ENVELOPE = Envelope("Example <no-reply@example.com>", "", "https://auth.example.com")
ALICE, BOB, CAROL = "alice@example.com", "bob@example.com", "carol@example.com"


@pytest.fixture(scope="module")
def shared_server() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


@pytest.fixture
def server(shared_server: SmtpServer) -> SmtpServer:
    shared_server.reset()
    return shared_server


class HeldRelay:
    """A relay that waits before each message until it may go on."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.may_continue = asyncio.Event()
        self.waiting = 0

    async def send(self, message: EmailMessage, recipient: str) -> None:
        self.waiting += 1
        try:
            await self.may_continue.wait()
        finally:
            self.waiting -= 1
        await self._relay.send(message, recipient)

    async def close(self) -> None:
        await self._relay.close()


class BrokenRelay:
    """A relay with a defect."""

    async def send(self, message: EmailMessage, recipient: str) -> None:
        raise RuntimeError(f"a defect at {recipient} in {len(message)} fields")

    async def close(self) -> None:
        pass


class HangingRelay:
    """A relay that does not end its connection."""

    async def send(self, message: EmailMessage, recipient: str) -> None:
        raise NotImplementedError(f"{recipient}, {len(message)} fields")

    async def close(self) -> None:
        await asyncio.Event().wait()


class Office:
    """A sender on a database, and the clock and the event that move it on."""

    def __init__(self, sender: Sender, wake: asyncio.Event, clock: Clock) -> None:
        self.sender = sender
        self._wake = wake
        self._clock = clock

    def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)
        self._wake.set()

    def wake(self) -> None:
        self._wake.set()


def relay_to(server: SmtpServer, clock: Clock) -> Relay:
    url = parse_mail_url(server.url())
    assert url is not None
    return make_relay(
        url, ENVELOPE, lambda: datetime.fromtimestamp(clock(), UTC), Timeouts(command=5)
    )


@asynccontextmanager
async def office(
    dsn: str,
    clock: Clock,
    *relays: Relay,
    keys: Sequence[str] = (KEY,),
    per_minute: int = 10_000,
    close_seconds: float = 5,
) -> AsyncIterator[Office]:
    database = await Database.open(dsn, LIMITS)
    wake = asyncio.Event()
    by_id = {key_id(key): key for key in keys}
    sender = Sender(
        database,
        Delivery(ENVELOPE, find_key=by_id.get, clock=clock),
        relays=relays,
        wake=wake,
        per_minute=per_minute,
        clock=clock,
    )
    try:
        yield Office(sender, wake, clock)
    finally:
        await sender.close(close_seconds)
        await database.close()


def recipients(server: SmtpServer) -> list[str]:
    return [message.recipients[0] for message in server.messages]


def due_in(dsn: str, recipient: str, clock: Clock) -> float:
    [(due,)] = run_sql(dsn, "SELECT due_at FROM messages WHERE recipient = %s", (recipient,))
    return float(due.timestamp() - clock())


def claimed(dsn: str) -> int:
    """Return how many messages have an attempt that counts, or that has not ended."""
    return sum(attempts > 0 for _, attempts, _ in states(dsn).values())


def test_urgent_messages_are_sent_first_and_then_those_that_were_due_first(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    insert_messages(dsn, clock(), ALICE, BOB)
    insert_messages(dsn, clock(), CAROL, is_urgent=True)

    async def run() -> None:
        async with office(dsn, clock, relay_to(server, clock)) as here:
            await until(lambda: count_in(dsn, "sent") == 3)
            assert here.sender.counts.sent == 3

    asyncio.run(run())
    assert recipients(server) == [CAROL, ALICE, BOB]
    assert states(dsn)[ALICE] == ("sent", 1, None)


def test_after_three_urgent_messages_another_one_is_sent(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    """A user who changes a password again and again delays the messages of no other user."""
    insert_messages(dsn, clock(), ALICE, BOB, CAROL)
    insert_messages(dsn, clock(), *numbered(7), is_urgent=True)
    run_sql(dsn, "UPDATE messages SET recipient = NULL WHERE recipient = %s", (ALICE,))

    async def run() -> None:
        async with office(dsn, clock, relay_to(server, clock)):
            await until(lambda: count_in(dsn, "sent") == 9)

    asyncio.run(run())
    urgent = numbered(7)
    # One without a recipient takes the turn of no other.
    assert recipients(server) == [*urgent[:3], BOB, *urgent[3:6], CAROL, urgent[6]]


def test_a_new_message_wakes_the_sender_and_those_of_other_processes_are_found_later(
    dsn: str, clock: Clock, server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_POLL_SECONDS", 600.0)

    async def run(*, wakes: bool) -> None:
        async with office(dsn, clock, relay_to(server, clock)) as here:
            await asyncio.sleep(0.1)  # until it waits
            insert_messages(dsn, clock(), ALICE)
            if wakes:
                here.wake()
            await until(lambda: not count_in(dsn, "due"))

    asyncio.run(run(wakes=True))
    monkeypatch.setattr(sending, "_POLL_SECONDS", 0.01)
    asyncio.run(run(wakes=False))
    assert recipients(server) == [ALICE, ALICE]


def test_a_message_without_a_recipient_goes_through_the_queue_and_nothing_is_sent(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    insert_messages(dsn, clock(), ALICE, BOB)
    run_sql(dsn, "UPDATE messages SET recipient = NULL WHERE recipient = %s", (ALICE,))

    async def run() -> None:
        async with office(dsn, clock, relay_to(server, clock), per_minute=1) as here:
            # It uses none of the messages that the budget allows.
            await until(lambda: count_in(dsn, "sent") == 1)
            counts = here.sender.counts
            assert (counts.sent, counts.deferred, sum(counts.given_up.values())) == (1, 0, 0)

    asyncio.run(run())
    assert recipients(server) == [BOB]
    assert run_sql(dsn, "SELECT due_at, attempts FROM messages WHERE recipient IS NULL") == [
        (None, 1)
    ]


def test_a_message_without_a_recipient_does_not_end_a_pause(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    server.plan.failures[Step.MAIL] = "550 5.1.8 Sender rejected"
    insert_messages(dsn, clock(), ALICE, BOB)

    async def run() -> None:
        async with office(dsn, clock, relay_to(server, clock)) as here:
            await until(lambda: here.sender.is_paused)
            run_sql(dsn, "UPDATE messages SET recipient = NULL")
            here.pass_time(600)
            await until(lambda: not count_in(dsn, "due"))
            assert here.sender.is_paused

    asyncio.run(run())


def test_at_most_as_many_messages_as_relays_are_sent_at_a_time(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    insert_messages(dsn, clock(), *numbered(5))

    async def run() -> None:
        relays = [HeldRelay(relay_to(server, clock)) for _ in range(2)]
        async with office(dsn, clock, *relays) as here:
            await until(lambda: sum(relay.waiting for relay in relays) == 2)
            here.wake()
            await asyncio.sleep(0.05)
            assert claimed(dsn) == 2
            for relay in relays:
                relay.may_continue.set()
            await until(lambda: count_in(dsn, "sent") == 5)

    asyncio.run(run())
    assert sorted(recipients(server)) == list(numbered(5))


def test_a_temporary_failure_defers_a_message_longer_each_time_and_holds_up_no_other(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    server.plan.refused[ALICE] = "450 4.2.0 Greylisted"
    insert_messages(dsn, clock(), ALICE, lifetime=24 * 3600)
    insert_messages(dsn, clock(), BOB)

    async def run() -> None:
        async with office(dsn, clock, relay_to(server, clock)) as here:
            for attempts, step in enumerate((10, 60, 300, 900, 1800, 1800), 1):
                await until(lambda: here.sender.counts.deferred == attempts)  # noqa: B023
                await until(lambda: states(dsn)[ALICE][2])
                assert states(dsn)[ALICE] == ("due", attempts, "RCPT TO: 450 4.2.0 Greylisted")
                assert step <= due_in(dsn, ALICE, clock) <= 1.25 * step
                here.pass_time(1.25 * step)
            server.plan = Plan()
            here.pass_time(3600)
            await until(lambda: states(dsn)[ALICE][0] == "sent")

    asyncio.run(run())
    assert recipients(server) == [BOB, ALICE]


def test_a_message_that_would_expire_before_the_next_attempt_is_given_up_with_the_failure(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    server.plan.refused[ALICE] = "450 4.2.0 Greylisted"
    insert_messages(dsn, clock(), ALICE, lifetime=60)

    async def run() -> None:
        async with office(dsn, clock, relay_to(server, clock)) as here:
            await until(lambda: here.sender.counts.deferred == 1)
            here.pass_time(13)
            await until(lambda: count_in(dsn, "dead") == 1)
            assert here.sender.counts.given_up["expired"] == 1

    asyncio.run(run())
    assert states(dsn)[ALICE] == ("dead", 2, "expired: RCPT TO: 450 4.2.0 Greylisted")


def test_messages_that_can_never_be_sent_are_given_up_and_hold_up_no_other(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    injected = "eve@example.com\r\nBcc: mallory@example.com"
    server.plan.refused[ALICE] = "550 5.1.1 No such user"
    insert_messages(dsn, clock(), ALICE, injected)
    insert_messages(dsn, clock(), "unknown kind", kind="unknown")
    retired = "retired@example.com"
    insert_messages(dsn, clock(), retired, kind="verification", key_id="retired", lifetime=9)
    insert_messages(dsn, clock(), BOB, kind="verification", key_id=key_id(KEY))

    async def run() -> None:
        async with office(dsn, clock, relay_to(server, clock)) as here:
            await until(lambda: not count_in(dsn, "due"))
            assert here.sender.counts.given_up == {
                "expired": 0,
                "void": 0,
                "rejected": 1,
                "not-rendered": 2,
                "key-retired": 1,
            }

    asyncio.run(run())
    assert recipients(server) == [BOB]
    found = states(dsn)
    assert found[ALICE] == ("dead", 1, "RCPT TO: 550 5.1.1 No such user")
    assert found[retired] == ("dead", 1, "signing key retired")
    for recipient in (injected, "unknown kind"):
        assert found[recipient][0] == "dead"
        assert "cannot be rendered" in str(found[recipient][2])


def test_a_message_whose_key_another_server_has_added_is_sent_once_this_one_has_it(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    insert_messages(dsn, clock(), ALICE, kind="verification", key_id=key_id(KEY))
    insert_messages(dsn, clock(), BOB)
    server.plan.refused[BOB] = "554 5.7.1 Relay access denied"

    async def run() -> None:
        async with office(dsn, clock, relay_to(server, clock), keys=()) as here:
            await until(lambda: here.sender.counts.deferred == 1 and here.sender.is_paused)
            await until(lambda: states(dsn)[ALICE] == ("due", 1, "signing key retired"))
            run_sql(dsn, "UPDATE messages SET due_at = NULL WHERE recipient = %s", (BOB,))
            here.pass_time(13)
            await until(lambda: here.sender.counts.deferred == 2)
            # The relay was not asked.
            assert here.sender.is_paused
        clock.advance(75)
        async with office(dsn, clock, relay_to(server, clock)):
            await until(lambda: count_in(dsn, "sent") == 1)

    asyncio.run(run())
    assert recipients(server) == [ALICE]


def test_messages_that_are_no_longer_valid_are_not_sent(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    users = run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash, disabled_at, password_version)"
        " VALUES ('d@example.com', 'd@example.com', 'x', now(), 1),"
        " ('v@example.com', 'v@example.com', 'x', NULL, 2) RETURNING id",
    )
    disabled, changed = (user_id for (user_id,) in users)
    insert_messages(dsn, clock(), "expired@example.com", lifetime=-1)
    insert_messages(dsn, clock(), "void@example.com", "used@example.com")
    insert_messages(dsn, clock(), "disabled@example.com", user_id=disabled)
    insert_messages(dsn, clock(), "deleted@example.com", user_id="0" * 32)
    insert_messages(dsn, clock(), "version@example.com", user_id=changed)
    insert_messages(dsn, clock() + 0.5, ALICE, user_id=changed)
    for change in (
        "voided_at = now() WHERE recipient = 'void@example.com'",
        "used_at = now() WHERE recipient = 'used@example.com'",
        "password_version = 1 WHERE recipient = 'version@example.com'",
    ):
        run_sql(dsn, f"UPDATE messages SET {change}")  # noqa: S608

    async def run() -> None:
        # Nor do they count as messages of the minute.
        async with office(dsn, clock, relay_to(server, clock), per_minute=1) as here:
            await until(lambda: not count_in(dsn, "due"))
            counts = here.sender.counts.given_up
            assert (counts["expired"], counts["void"], here.sender.counts.sent) == (1, 5, 1)

    asyncio.run(run())
    assert recipients(server) == [ALICE]
    assert states(dsn)["expired@example.com"] == ("dead", 1, "expired")
    assert "void" in str(states(dsn)["void@example.com"][2])


def test_a_fault_of_the_relay_pauses_the_queue_until_a_probe_is_sent(
    dsn: str, clock: Clock, server: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.plan.failures[Step.MAIL] = "550 5.1.8 Sender rejected"
    insert_messages(dsn, clock(), *numbered(20))

    async def run() -> None:
        relays = [relay_to(server, clock) for _ in range(2)]
        async with office(dsn, clock, *relays) as here:
            await until(lambda: here.sender.is_paused)
            # The other one that was being sent at the same time ends, and no third one begins.
            await until(lambda: not claimed(dsn))
            assert server.commands.count(Step.MAIL) <= 2
            # Each wait is longer than the one before, and at most five minutes.
            for wait in (5, 10, 20, 40, 80, 160, 300, 300):
                before = server.commands.count(Step.MAIL)
                here.pass_time(wait - 0.1)
                await asyncio.sleep(0.02)
                assert server.commands.count(Step.MAIL) == before
                here.pass_time(0.3 * wait)
                await until(lambda: server.commands.count(Step.MAIL) == before + 1)  # noqa: B023
                await until(lambda: not claimed(dsn))
            server.plan = Plan()
            here.pass_time(400)
            await until(lambda: count_in(dsn, "sent") == 20)
            assert not here.sender.is_paused
            assert (here.sender.counts.sent, here.sender.counts.deferred) == (20, 0)

    asyncio.run(run())
    assert {attempts for _, attempts, _ in states(dsn).values()} == {1}
    assert sorted(recipients(server)) == sorted(numbered(20))
    assert [line for line in caplog.messages if "relay" in line] == [
        "the mail relay sends nothing, messages wait: MAIL FROM: 550 5.1.8 Sender rejected",
        next(line for line in caplog.messages if "the mail relay sends again" in line),
    ]


def test_messages_wait_for_a_relay_that_is_down_and_are_sent_when_it_is_up(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    server.stop()
    insert_messages(dsn, clock(), *numbered(5))

    async def run() -> None:
        async with office(dsn, clock, relay_to(server, clock)) as here:
            await until(lambda: here.sender.is_paused)
            assert count_in(dsn, "due") == 5
            server.start()
            here.pass_time(12)
            await until(lambda: count_in(dsn, "sent") == 5)

    asyncio.run(run())
    assert sorted(recipients(server)) == list(numbered(5))


def test_a_message_that_alone_is_refused_like_all_holds_up_no_other(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    """The relay does not send to its domain, and has taken no message of this process before."""
    server.plan.refused[CAROL] = "554 5.7.1 Relay access denied"
    insert_messages(dsn, clock(), ALICE, BOB)
    insert_messages(dsn, clock(), CAROL, is_urgent=True)

    async def run() -> None:
        async with office(dsn, clock, relay_to(server, clock)) as here:
            await until(lambda: here.sender.is_paused and not claimed(dsn))
            here.pass_time(7)
            await until(lambda: count_in(dsn, "sent") == 2)
            assert not here.sender.is_paused
            assert states(dsn)[CAROL] == ("due", 0, "RCPT TO: 554 5.7.1 Relay access denied")
            here.pass_time(10)
            await until(lambda: here.sender.counts.deferred)

    asyncio.run(run())
    assert recipients(server) == [ALICE, BOB]
    assert states(dsn)[CAROL][:2] == ("due", 1)


def test_no_more_messages_a_minute_than_allowed_are_sent(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    insert_messages(dsn, clock(), *numbered(4))

    async def run() -> None:
        async with office(dsn, clock, relay_to(server, clock), per_minute=2) as here:
            for sent, seconds in ((2, 29), (2, 1), (3, 30), (4, 0)):
                await until(lambda: count_in(dsn, "sent") == sent)  # noqa: B023
                await asyncio.sleep(0.02)
                assert count_in(dsn, "sent") == sent
                here.pass_time(seconds)

    asyncio.run(run())


def test_an_unexpected_error_is_logged_and_defers_the_message(
    dsn: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    insert_messages(dsn, clock(), ALICE, BOB)

    async def run() -> None:
        async with office(dsn, clock, BrokenRelay()) as here:
            await until(lambda: here.sender.counts.deferred == 2)

    asyncio.run(run())
    assert {state for state, _, _ in states(dsn).values()} == {"due"}
    assert caplog.messages.count("a message was not sent") == 2


def test_a_message_that_is_being_sent_belongs_to_one_process_until_its_lease_ends(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    insert_messages(dsn, clock(), ALICE)

    async def run() -> None:
        held = HeldRelay(relay_to(server, clock))
        async with office(dsn, clock, held) as slow:
            await until(lambda: held.waiting)
            async with office(dsn, clock, relay_to(server, clock)) as other:
                other.pass_time(LEASE_SECONDS - 1)
                await asyncio.sleep(0.05)
                assert not server.messages
                other.pass_time(2)
                await until(lambda: count_in(dsn, "sent") == 1)
                assert other.sender.counts.sent == 1
                [sent_at] = run_sql(dsn, "SELECT sent_at FROM messages")
                clock.advance(10)
                held.may_continue.set()
                await until(lambda: slow.sender.counts.sent)
                await slow.sender.close(1)
                # It was recorded by the process whose lease it was.
                assert run_sql(dsn, "SELECT sent_at FROM messages") == [sent_at]

    asyncio.run(run())


def test_a_message_that_was_sent_while_postgres_was_down_is_not_sent_again(
    dsn: str, clock: Clock, server: SmtpServer, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sending, "_RETRY_SECONDS", 0.01)
    insert_messages(dsn, clock(), ALICE)

    async def run() -> None:
        gate = Gate(dsn)
        await gate.open()
        held = HeldRelay(relay_to(server, clock))
        async with office(gate.dsn, clock, held) as here:
            await until(lambda: held.waiting)
            await gate.shut()
            held.may_continue.set()
            await until(lambda: here.sender.counts.sent)
            here.wake()
            await until(lambda: "messages cannot be sent now" in caplog.text)
            assert states(dsn)[ALICE][0] == "due"
            # Even if the lease ends first.
            clock.advance(LEASE_SECONDS + 1)
            insert_messages(dsn, clock(), BOB)
            await gate.open()
            await until(lambda: count_in(dsn, "sent") == 2)
        await gate.remove()

    asyncio.run(run())
    assert recipients(server) == [ALICE, BOB]
    assert sum("messages cannot be sent" in line for line in caplog.messages) == 1


def test_a_stop_waits_for_the_message_that_is_being_sent_and_claims_no_more(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    insert_messages(dsn, clock(), ALICE, BOB)

    async def run() -> None:
        held = HeldRelay(relay_to(server, clock))
        async with office(dsn, clock, held) as here:
            await until(lambda: held.waiting)
            closing = asyncio.create_task(here.sender.close(5))
            await asyncio.sleep(0.02)
            assert not closing.done()
            held.may_continue.set()
            await closing

    asyncio.run(run())
    assert recipients(server) == [ALICE]
    assert states(dsn)[BOB] == ("due", 0, None)


def test_a_relay_that_hangs_at_the_end_does_not_prolong_a_stop(
    dsn: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_GOODBYE_SECONDS", 0.01)

    async def run() -> None:
        async with asyncio.timeout(20), office(dsn, clock, HangingRelay(), HangingRelay()):
            pass

    asyncio.run(run())


def test_a_defect_of_the_sender_is_logged_and_does_not_end_it(
    dsn: str, clock: Clock, server: SmtpServer, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sending, "_RETRY_SECONDS", 0.001)
    insert_messages(dsn, clock(), ALICE)
    failures = 0

    async def fail(*_: object, **__: object) -> None:
        nonlocal failures
        failures += 1
        raise RuntimeError("a defect")

    async def run() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(messages, "claim_next", fail)
            async with office(dsn, clock, relay_to(server, clock)) as here:
                await until(lambda: failures > 3)
                patch.undo()
                here.wake()
                await until(lambda: count_in(dsn, "sent") == 1)

    asyncio.run(run())
    assert "the search for messages to send failed" in caplog.messages


def test_a_message_that_takes_longer_than_the_stop_is_sent_again_after_its_lease(
    dsn: str, clock: Clock, server: SmtpServer
) -> None:
    insert_messages(dsn, clock(), ALICE)

    async def run() -> None:
        held = HeldRelay(relay_to(server, clock))
        async with office(dsn, clock, held, close_seconds=0.01):
            await until(lambda: held.waiting)
        clock.advance(LEASE_SECONDS + 1)
        async with office(dsn, clock, relay_to(server, clock)):
            await until(lambda: count_in(dsn, "sent") == 1)

    asyncio.run(run())
    assert states(dsn)[ALICE] == ("sent", 2, None)

"""Server processes that send messages, and are stopped and killed meanwhile."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.mail_queue import count_in, insert_messages, numbered, states
from tests.harness.processes import run_to_the_end, running_server
from tests.harness.smtp import HANG, Plan, SmtpServer, Step
from tests.harness.sql import run_sql
from tests.harness.waiting import wait_until

SENDER = "Example <no-reply@example.com>"


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


def variables(dsn: str, url: str, **more: str) -> dict[str, str]:
    return {
        "DATABASE_URL": dsn,
        "USERAUTH_MAIL__URL": url,
        "USERAUTH_MAIL__FROM": SENDER,
        "USERAUTH_MAIL__PER_MINUTE": "1000000",
        **more,
    }


def received(server: SmtpServer) -> Counter[str]:
    return Counter(message.recipients[0] for message in server.messages)


def test_two_processes_send_each_of_hundreds_of_messages_once(
    dsn: str, server: SmtpServer, tmp_path: Path
) -> None:
    insert_messages(dsn, time.time(), *numbered(200))
    # One more than a process opens: both have to take part.
    server.plan.connections = 3
    settings = variables(dsn, server.url())
    with running_server(settings, tmp_path / "1"), running_server(settings, tmp_path / "2"):
        wait_until(lambda: count_in(dsn, "sent") == 200)
    assert received(server) == Counter(numbered(200))
    # Both have sent some.
    assert len({message.connection for message in server.messages}) > 2


def test_no_message_is_lost_and_none_is_sent_more_than_twice_if_the_server_is_killed(
    dsn: str, server: SmtpServer, tmp_path: Path
) -> None:
    insert_messages(dsn, time.time(), *numbered(30))
    settings = variables(dsn, server.url())
    with running_server(settings, tmp_path / "log") as killed:
        wait_until(lambda: len(server.messages) > 5)
        server.plan.failures[Step.BODY] = HANG
        wait_until(lambda: server.commands.count(Step.BODY) == 2)
        killed.signal(signal.SIGKILL)
        killed.wait()
    server.plan = Plan()
    # Two leases have not ended yet, and are not waited for.
    leased = "SELECT count(*) FROM messages WHERE due_at > now() + interval '1 minute'"
    assert run_sql(dsn, leased) == [(2,)]
    run_sql(dsn, "UPDATE messages SET due_at = now() WHERE due_at IS NOT NULL")
    with running_server(settings, tmp_path / "log"):
        wait_until(lambda: count_in(dsn, "sent") == 30)
    counts = received(server)
    assert set(counts) == set(numbered(30))
    assert max(counts.values()) <= 2
    assert counts.total() <= 32


def test_a_stop_does_not_wait_longer_for_a_relay_that_hangs_than_for_requests(
    dsn: str, server: SmtpServer, tmp_path: Path
) -> None:
    server.plan.failures[Step.BODY] = HANG
    insert_messages(dsn, time.time(), *numbered(3))
    settings = variables(dsn, server.url(), USERAUTH_SERVER__DRAIN_SECONDS="0.3")
    with running_server(settings, tmp_path / "log") as stopped:
        wait_until(lambda: server.commands.count(Step.BODY) == 2)
        began = time.monotonic()
        assert stopped.stop() == 0
        assert time.monotonic() - began < 20
        assert "Traceback" not in stopped.written()
    assert {state for state, _, _ in states(dsn).values()} == {"due"}


def test_the_greeting_says_where_messages_go(dsn: str, tmp_path: Path) -> None:
    folder = tmp_path / "messages"
    insert_messages(dsn, time.time(), "alice@example.com")
    with running_server(variables(dsn, f"folder:{folder}"), tmp_path / "log") as server:
        assert f"messages to users in {folder}," in server.greeting
        wait_until(lambda: [*folder.glob("*.eml")])
    [file] = folder.iterdir()
    assert "alice@example.com" in file.name


def test_a_check_does_not_contact_the_relay(dsn: str, server: SmtpServer) -> None:
    url = server.url(user="userauth", password="open-sesame")
    ended = run_to_the_end("--check", **variables(dsn, url))
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert server.connections == 0
    assert "open-sesame" not in ended.stdout

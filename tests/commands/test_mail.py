"""``manage.py mail``: messages are listed, retried and dropped, and the relay is tested."""

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from email import message_from_bytes
from email.policy import SMTPUTF8
from pathlib import Path
from typing import Any

import pytest

from rules.digests import Digests
from rules.tokens import key_id
from services.outbox import recipient_digest
from tests.harness.accounts import event_kinds_in_order
from tests.harness.command_line import Completed, manage
from tests.harness.configuration import KEY
from tests.harness.mail import secrets_of
from tests.harness.mail_queue import insert_messages, states
from tests.harness.smtp import SmtpServer, Step
from tests.harness.sql import run_sql

ALICE, BOB, CAROL, DAVE = (f"{name}@example.com" for name in ("alice", "bob", "carol", "dave"))
UNKNOWN = "00000000-0000-4000-8000-000000000000"
REASON = "RCPT TO: 550 5.1.1 No such user"


@pytest.fixture
def ids(dsn: str) -> dict[str, str]:
    """Store a message in each state; return their ids by the recipient."""
    now = time.time()
    recipients = (ALICE, BOB, CAROL, DAVE)
    found = dict(zip(recipients, insert_messages(dsn, now, *recipients), strict=True))
    for recipient, change in (
        (ALICE, "sent_at = now(), due_at = NULL, attempts = 1"),
        (BOB, f"failed_at = now(), due_at = NULL, attempts = 3, failure = '{REASON}'"),
        (CAROL, "voided_at = now(), due_at = NULL"),
    ):
        run_sql(dsn, f"UPDATE messages SET {change} WHERE recipient = %s", (recipient,))  # noqa: S608
    # A request for an address that no user has: nothing is sent.
    run_sql(
        dsn,
        "INSERT INTO messages (id, nonce, kind, email_digest, language, created_at, expires_at,"
        " is_urgent) VALUES (gen_random_uuid(), gen_random_uuid(), 'password-reset', 'x', 'en',"
        " now(), now(), false)",
    )
    return found


def run(dsn: str, *arguments: str, **variables: str) -> Completed:
    return manage("mail", *arguments, DATABASE_URL=dsn, **variables)


def listed(dsn: str, *arguments: str) -> list[dict[str, Any]]:
    ended = run(dsn, "list", "--json", *arguments)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return list(json.loads(ended.stdout))


def test_messages_are_listed_with_their_state_and_each_list_is_an_event(
    dsn: str, ids: dict[str, str]
) -> None:
    assert {each["recipient"]: each["state"] for each in listed(dsn)} == {
        ALICE: "sent",
        BOB: "dead",
        CAROL: "void",
        DAVE: "due",
    }
    [dead] = listed(dsn, "--state", "dead")
    assert datetime.fromisoformat(str(dead.pop("created_at")))
    assert dead == {
        "id": ids[BOB],
        "kind": "password-changed",
        "recipient": BOB,
        "state": "dead",
        "attempts": 3,
        "due": None,
        "reason": REASON,
    }
    assert len(listed(dsn, "--limit", "2")) == 2
    shown = run(dsn, "list").stdout.splitlines()
    titles = "ID CREATED KIND RECIPIENT STATE ATTEMPTS DUE REASON"
    assert shown[0].split() == titles.split()
    assert len(shown) == 5
    assert event_kinds_in_order(dsn) == ["mail-read"] * 4


def test_messages_of_a_user_or_an_address_are_listed(dsn: str) -> None:
    [(user_id,)] = run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash)"
        " VALUES ('Alice@example.com', 'alice@example.com', 'x') RETURNING id",
    )
    [(key,)] = run_sql(dsn, "SELECT key FROM digest_key")
    now = time.time()
    insert_messages(dsn, now, "new-alice@example.com", user_id=user_id)
    insert_messages(dsn, now, "Alice@example.com", BOB)
    for recipient in ("Alice@example.com", BOB):
        digest = recipient_digest(Digests(key), recipient.lower())
        run_sql(
            dsn,
            "UPDATE messages SET email_digest = %s WHERE recipient = %s",
            (digest, recipient),
        )
    own = {"new-alice@example.com", "Alice@example.com"}
    for user in ("ALICE@example.com", user_id):
        assert {each["recipient"] for each in listed(dsn, "--user", user)} == own
    assert [each["recipient"] for each in listed(dsn, "--user", BOB)] == [BOB]
    assert listed(dsn, "--user", "unknown@example.com") == []
    unknown = run(dsn, "list", "--user", UNKNOWN)
    assert (unknown.returncode, unknown.stdout) == (3, "")
    assert run(dsn, "list", "--user", "").returncode == 2


def test_a_message_is_shown_without_its_link_and_its_code(dsn: str) -> None:
    [message_id] = insert_messages(
        dsn, time.time(), ALICE, kind="password-reset", key_id=key_id(KEY)
    )
    ended = run(dsn, "show", message_id)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    secrets = secrets_of(dsn, message_id)
    for secret in (secrets.code, secrets.token.partition(".")[2]):
        assert secret not in ended.stdout
    assert re.search(rf"^recipient +{ALICE}$", ended.stdout, re.MULTILINE)
    document = json.loads(run(dsn, "show", message_id, "--json").stdout)
    assert (document["id"], document["wrong_codes"], document["sent_at"]) == (message_id, 0, None)
    assert event_kinds_in_order(dsn) == ["mail-read"] * 2


@pytest.mark.parametrize("command", ["show", "retry", "drop"])
def test_an_unknown_message_is_not_found(dsn: str, command: str) -> None:
    ended = run(dsn, command, UNKNOWN)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == f"Error: No message has the ID {UNKNOWN}.\n"
    assert run(dsn, command, "no-id").returncode == 2
    assert event_kinds_in_order(dsn) == []


def test_a_dead_message_is_sent_again_and_others_are_not(dsn: str, ids: dict[str, str]) -> None:
    assert run(dsn, "retry", ids[BOB]).returncode == 0
    assert states(dsn)[BOB] == ("due", 0, REASON)
    for recipient, reason in ((ALICE, "sent"), (CAROL, "void"), (DAVE, "already due")):
        ended = run(dsn, "retry", ids[recipient])
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == f"Error: The message {ids[recipient]} is {reason}.\n"
    # One that is deferred is due at once; one that a process sends now is left to it.
    run_sql(dsn, "UPDATE messages SET due_at = now() + interval '1 hour'")
    assert run(dsn, "retry", ids[BOB]).returncode == 0
    assert run(dsn, "retry", ids[DAVE]).returncode == 1
    later = "SELECT recipient FROM messages WHERE due_at > now() ORDER BY 1"
    assert (DAVE,) in run_sql(dsn, later)
    assert (BOB,) not in run_sql(dsn, later)
    assert event_kinds_in_order(dsn) == ["mail-retried"] * 2


def test_all_dead_messages_that_are_valid_are_sent_again(dsn: str, ids: dict[str, str]) -> None:
    [expired] = insert_messages(dsn, time.time(), "expired@example.com", lifetime=-1)
    run_sql(
        dsn,
        "UPDATE messages SET failed_at = now(), due_at = NULL, failure = 'x' WHERE id = %s",
        (expired,),
    )
    ended = run(dsn, "retry", "--dead")
    assert (ended.returncode, ended.stdout) == (0, "The server will send 1 message again.\n")
    assert run(dsn, "retry", "--dead").stdout == "The server will send 0 messages again.\n"
    assert event_kinds_in_order(dsn) == ["mail-retried"]
    assert "is expired" in run(dsn, "retry", expired).stderr
    for wrong in ((), (ids[BOB], "--dead")):
        assert run(dsn, "retry", *wrong).returncode == 2


def test_a_dropped_message_is_void_and_not_sent(dsn: str, ids: dict[str, str]) -> None:
    ended = run(dsn, "drop", ids[DAVE])
    assert (ended.returncode, ended.stdout) == (0, f"Dropped the message {ids[DAVE]}.\n")
    assert listed(dsn, "--state", "due") == []
    again = run(dsn, "drop", ids[DAVE])
    assert (again.returncode, again.stdout) == (0, f"The message {ids[DAVE]} was already void.\n")
    assert event_kinds_in_order(dsn) == ["mail-dropped", "mail-read"]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


@pytest.fixture
def server(shared_server: SmtpServer) -> SmtpServer:
    shared_server.reset()
    return shared_server


def send_test(url: str, address: str = ALICE, sender: str = "no-reply@example.com") -> Completed:
    # It needs no database.
    variables = {
        "DATABASE_URL": "postgresql://userauth@127.0.0.1:9/none",
        "USERAUTH_MAIL__URL": url,
        "USERAUTH_MAIL__FROM": sender,
    }
    return manage("mail", "test", address, **variables)


def test_a_test_message_arrives(server: SmtpServer) -> None:
    ended = send_test(server.url())
    place = f"127.0.0.1:{server.port}"
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert ended.stdout == f"Sent a test message to {ALICE} through {place}.\n"
    [message] = server.messages
    assert message.recipients == (ALICE,)
    assert message.parsed["Auto-Submitted"] == "auto-generated"
    origin = re.fullmatch("Test message from (http.+)", message.parsed["Subject"])
    assert origin is not None, message.parsed["Subject"]
    first = f"This is a test message from the user-authentication server at {origin[1]}.\n"
    assert message.plain.startswith(first)


def test_a_test_message_is_written_to_a_folder_whatever_the_address(tmp_path: Path) -> None:
    assert send_test(f"folder:{tmp_path}", "gr\xfc\xdfe@example.com").returncode == 0
    [file] = tmp_path.glob("*.eml")
    message = message_from_bytes(file.read_bytes(), policy=SMTPUTF8)
    assert message["To"] == "gr\xfc\xdfe@example.com"


@pytest.mark.parametrize(
    ("step", "reply", "advice"),
    [
        (Step.BANNER, "554 No", "the port of mail.url"),
        (Step.EHLO, "502 Unknown", "operator of the relay"),
        (Step.AUTH, "535 5.7.8 Wrong", "the password in mail.url"),
        (Step.MAIL, "550 5.1.8 Sender rejected", "mail.from"),
        (Step.RCPT, "550 5.1.1 No such user", "Check the address"),
        (Step.RCPT, "450 4.2.0 Greylisted", "temporary"),
        (Step.BODY, "550 5.7.1 Rejected by policy", "SPF, DKIM and DMARC"),
    ],
)
def test_a_test_message_that_fails_says_at_which_step_and_what_to_do(
    server: SmtpServer, step: Step, reply: str, advice: str
) -> None:
    server.plan.failures[step] = reply
    url = server.url(user="userauth", password="relay-password-0123456789")
    ended = send_test(url)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert reply.split(maxsplit=1)[0] in ended.stderr
    assert advice in ended.stderr
    assert "\\" not in ended.stderr
    assert "relay-password" not in ended.stderr


def test_a_test_message_without_a_relay_or_with_a_wrong_address_fails(server: SmtpServer) -> None:
    down = send_test("smtp://127.0.0.1:9")
    assert (down.returncode, "Check the host and the port" in down.stderr) == (1, True)
    off = send_test("")
    assert (off.returncode, "mail.url" in off.stderr) == (2, True)
    for address in (
        "a@example.com\r\nBcc: b@example.com",
        "no address",
        "a@b.example, c@d.example",
    ):
        ended = send_test(server.url(), address)
        assert (ended.returncode, "Traceback" in ended.stderr) == (1, False), ended
    assert server.messages == []

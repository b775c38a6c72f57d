"""What replies of SMTP servers mean."""

import pytest

from mail.errors import MailError, Permanent, RelayFault, Temporary
from mail.smtp_replies import Step, describe, error_of

MEANINGS = [
    *((step, reply, Temporary) for step in (Step.MAIL, Step.RCPT, Step.DATA) for reply in (
        "421 4.3.2 Shutting down", "450 4.2.0 Greylisted", "451 Local error", "452 4.2.2 Full",
        "-1 not a reply", "250 unexpected", "354 unexpected",
    )),
    (Step.MAIL, "530 5.7.0 Authentication required", RelayFault),
    (Step.MAIL, "550 5.1.8 Sender address rejected", RelayFault),
    (Step.MAIL, "553 5.7.1 Sender not owned by user", RelayFault),
    (Step.MAIL, "552 5.3.4 Message too big", Permanent),
    (Step.MAIL, "555 Parameters not recognized", Permanent),
    (Step.MAIL, "553 5.6.7 Non-ASCII addresses not permitted", Permanent),
    (Step.RCPT, "550 5.1.1 No such user", Permanent),
    (Step.RCPT, "550 No such user", Permanent),
    (Step.RCPT, "550 5.7.1 Blocked by the recipient", Permanent),
    (Step.RCPT, "553 5.6.7 Non-ASCII addresses not permitted", Permanent),
    (Step.RCPT, "550 5.7.1 Unable to relay", RelayFault),
    (Step.RCPT, "554 5.7.1 Relay access denied", RelayFault),
    (Step.RCPT, "550 relay not permitted", RelayFault),
    (Step.RCPT, "530 5.7.57 Client was not authenticated", RelayFault),
    (Step.RCPT, "550 5.4.1 Relayed to a host that has no such user", Permanent),
    (Step.DATA, "554 5.6.0 Content rejected", Permanent),
    (Step.DATA, "550 5.7.26 SPF and DKIM failed", RelayFault),
    (Step.RCPT, "550 5.4.5 Daily quota exceeded", RelayFault),
    (Step.DATA, "554 5.3.2 Not accepting messages", RelayFault),
    (Step.DATA, "535 Authentication credentials invalid", RelayFault),
]  # fmt: skip


def meaning(
    step: Step, reply: str, *, has_sent: bool = False, needs_utf8: bool = False
) -> MailError:
    code, text = reply.split(" ", 1)
    return error_of(step, int(code), text, has_sent=has_sent, needs_utf8=needs_utf8)


@pytest.mark.parametrize(("step", "reply", "expected"), MEANINGS)
def test_a_reply_concerns_the_message_or_the_relay(
    step: Step, reply: str, expected: type[MailError]
) -> None:
    error = meaning(step, reply)
    assert type(error) is expected
    assert str(error).startswith(f"{step}: {reply.split(maxsplit=1)[0]}")


@pytest.mark.parametrize(
    ("step", "reply"),
    [(step, reply) for step, reply, error in MEANINGS if error is RelayFault and step != Step.MAIL],
)
def test_a_denial_after_a_sent_message_is_about_the_recipient_and_pauses_no_queue(
    step: Step, reply: str
) -> None:
    assert type(meaning(step, reply, has_sent=True)) is Temporary


@pytest.mark.parametrize(
    ("step", "reply"), [(step, reply) for step, reply, error in MEANINGS if error is RelayFault]
)
def test_a_refusal_of_an_address_that_needs_smtputf8_pauses_no_queue(
    step: Step, reply: str
) -> None:
    assert type(meaning(step, reply, needs_utf8=True)) is Temporary


def test_the_description_contains_no_address_token_or_code_that_a_reply_quotes() -> None:
    token = "0f5b1f7a-3b1b-4c55-9d3a-1f1b1e1d1c1b.4QYQsdW236hiJQ5aXTmKHJdT8JkUcS5NWxLtsU_zinw"
    reply = (
        f"554 5.7.1 <alice@example.com>: blocked https://example.com/auth/reset?request=x#{token}"
        f" or {token[:60]}=\n{token[60:]} or 6802 4460 or 68024460"
    )
    described = describe(Step.DATA, reply)
    assert described.startswith("DATA: 554 5.7.1 <(…)>: blocked https://example.com/auth/reset?")
    for secret in ("alice", token[:8], token[40:60], token[60:], "6802", "4460"):
        assert secret not in described


def test_the_description_of_a_refused_login_contains_codes_alone() -> None:
    assert describe(Step.AUTH, "535 5.7.8 AUTH PLAIN AHVzZXIAcGFzcw==") == "AUTH: 535 5.7.8"
    assert describe(Step.AUTH, "535 AUTH PLAIN AHVzZXIAcGFzcw==") == "AUTH: 535"
    assert describe(Step.AUTH, "AHVzZXIAcGFzcw==") == "AUTH: failed"


def test_the_description_is_one_short_printable_line() -> None:
    described = describe(Step.RCPT, "550 no\x1b[31m\r\nsuch\tuser \udcff" + " long" * 100)
    assert described.startswith("RCPT TO: 550 no [31m such user long")
    assert described.isprintable()
    assert len(described) == 200

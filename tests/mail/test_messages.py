"""Messages as they are sent."""

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from html.parser import HTMLParser

import pytest

from db.message_rows import ClaimedMessage
from mail import texts
from mail.errors import MessageError, Permanent
from mail.messages import KIND_FIELD, Envelope, make_envelope, render
from pages.texts import read_texts
from rules.mail_secrets import MailSecrets, derive_secrets
from rules.message_kinds import MessageKind
from settings.choices import Language
from tests.harness.configuration import KEY, ROOT, settings_with

ALICE = "alice@example.com"
ORIGIN = "https://auth.example.com"
ID = "0f5b1f7a-3b1b-4c55-9d3a-1f1b1e1d1c1b"
NONCE = "7b0d2c1e-0c3f-4d57-8a55-3f0e4cf4a7d2"
CREATED = datetime(2026, 11, 29, 3, 30, 59, tzinfo=UTC)
ENVELOPE = Envelope("Example <no-reply@example.com>", "", ORIGIN)
ALL = [(kind, language) for kind in MessageKind for language in Language]
WITH_SECRETS = [kind for kind in MessageKind if kind.rules.page]


def claimed(kind: str, *, language: str = "en") -> ClaimedMessage:
    return ClaimedMessage(
        id=ID,
        nonce=NONCE,
        kind=kind,
        recipient=ALICE,
        language=language,
        key_id="key",
        created_at=CREATED,
        expires_at=CREATED + timedelta(hours=1),
        due_at=CREATED + timedelta(hours=3),
        attempts=1,
        is_urgent=False,
        is_valid=True,
    )


DELETED = claimed("user-deleted")


def secrets_of(kind: MessageKind) -> MailSecrets | None:
    return derive_secrets(KEY, kind, ID, NONCE) if kind.rules.page else None


def rendered(
    kind: MessageKind,
    *,
    to: str = ALICE,
    language: str = "en",
    envelope: Envelope = ENVELOPE,
) -> EmailMessage:
    """Return a message as its recipient parses it."""
    made = render(claimed(kind, language=language), to, secrets_of(kind), envelope)
    return message_from_bytes(made.as_bytes(), policy=SMTP)


def text_of(message: EmailMessage, form: str = "plain") -> str:
    body = message.get_body((form,))
    assert isinstance(body, EmailMessage)
    return str(body.get_content()).replace("\r\n", "\n")


class _Page(HTMLParser):
    """The links and the visible paragraphs of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str | None] = []
        self.tags: set[str] = set()
        self.paragraphs: list[str] = []
        self._is_inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        if tag == "p":
            self._is_inside = True
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        self._is_inside = self._is_inside and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._is_inside:
            self.paragraphs[-1] += data


@pytest.mark.parametrize(("kind", "language"), ALL)
def test_a_message_has_the_fields_that_mail_servers_and_people_need(
    kind: MessageKind, language: Language
) -> None:
    message = rendered(kind, language=language)
    names = ("host", "origin", "link", "code", "created", "expires")
    subject = texts.fill(kind, language, dict.fromkeys(names, "auth.example.com")).subject
    assert dict(message.items()) | {"Content-Type": ""} == {
        "From": "Example <no-reply@example.com>",
        "To": "alice@example.com",
        "Subject": subject,
        "Date": "Sun, 29 Nov 2026 03:30:59 +0000",
        "Message-ID": f"<{ID}@example.com>",
        "Auto-Submitted": "auto-generated",
        KIND_FIELD: kind.value,
        "MIME-Version": "1.0",
        "Content-Type": "",
        "Content-Language": language.value,
    }
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(("kind", "language"), ALL)
def test_both_forms_of_a_message_say_the_same(kind: MessageKind, language: Language) -> None:
    message = rendered(kind, language=language)
    page = text_of(message, "html")
    parsed = _Page(page)
    plain = [" ".join(paragraph.split()) for paragraph in text_of(message).split("\n\n")]
    assert parsed.paragraphs == plain
    assert f'<html lang="{language.value}">' in page
    assert not {"script", "img", "link", "style", "iframe", "form"} & parsed.tags
    assert {link for link in parsed.links if link} == {
        paragraph for paragraph in plain if paragraph.startswith("https:")
    }


@pytest.mark.parametrize(("kind", "language"), ALL)
@pytest.mark.parametrize(
    "host", ["a-host-" * 8 + "x.example.com", "name-" * 12 + "x." * 12 + "com"]
)
def test_a_host_name_is_not_divided_between_lines(
    kind: MessageKind, language: Language, host: str
) -> None:
    envelope = Envelope(ENVELOPE.sender, "", f"https://{host}")
    text = text_of(rendered(kind, language=language, envelope=envelope))
    joined = "".join(text.split())
    assert text.count(host) == joined.count(host) > 0


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("kind", WITH_SECRETS)
def test_a_secret_is_a_link_and_a_code_with_their_expiry(
    kind: MessageKind, language: Language
) -> None:
    secrets = secrets_of(kind)
    assert secrets is not None
    text = text_of(rendered(kind, language=language))
    link = f"{ORIGIN}/auth/{kind.rules.page}?request={ID}#{secrets.token}"
    code = f"{secrets.code[:4]} {secrets.code[4:]}"
    assert f"\n\n{link}\n\n" in text
    assert f"\n\n{code}\n\n" in text
    assert "2026-11-29 04:30 UTC" in text


@pytest.mark.parametrize(("kind", "language"), ALL)
def test_the_fields_contain_no_secret(kind: MessageKind, language: Language) -> None:
    message, secrets = rendered(kind, language=language), derive_secrets(KEY, kind, ID, NONCE)
    fields = str(message.items())
    for secret in (secrets.token[len(ID) + 1 :], secrets.code, secrets.code[:4]):
        assert secret not in fields
    if secrets_of(kind) is None:
        assert secrets.code[:4] not in text_of(message)


@pytest.mark.parametrize(("kind", "language"), ALL)
def test_a_message_says_what_to_do_if_it_was_not_the_user(
    kind: MessageKind, language: Language
) -> None:
    phrases = {
        Language.ENGLISH: ("If this was not you,", "If you did not expect this message,"),
        Language.GERMAN: ("Wenn Sie das nicht waren,", "Wenn Sie diese Nachricht nicht erwartet"),
    }
    text = " ".join(text_of(rendered(kind, language=language)).split())
    assert any(phrase in text for phrase in phrases[language])


def test_messages_and_pages_call_it_sign_in_and_sign_out() -> None:
    english = read_texts((ROOT / "pages" / "languages",))["en"].by_key.values()
    messages = (text_of(rendered(kind)) for kind in MessageKind)
    for text in (*english, *messages):
        assert not re.search(r"\blog(s|ged|ging)?[\s-]*(in|out)\b", text, re.IGNORECASE), text


@pytest.mark.parametrize(("kind", "language"), ALL)
def test_lines_keep_the_limits_and_the_message_is_ascii(
    kind: MessageKind, language: Language
) -> None:
    made = render(claimed(kind, language=language), ALICE, secrets_of(kind), ENVELOPE).as_bytes()
    assert made.isascii()
    assert b"\n" not in made.replace(b"\r\n", b"")
    assert max(map(len, made.split(b"\r\n"))) <= 76


def test_each_attempt_sends_the_same_message() -> None:
    first, second = [
        render(claimed(kind), ALICE, secrets_of(kind), ENVELOPE).as_bytes()
        for kind in (MessageKind.INVITATION, MessageKind.INVITATION)
    ]
    assert first == second


def test_the_sender_the_reply_address_and_the_origin_are_those_of_the_settings() -> None:
    settings = settings_with(
        MAIL__URL="smtp://127.0.0.1",
        MAIL__FROM="Müller <no-reply@münchen.example>",
        MAIL__REPLY_TO="help@example.com",
        MAIL__LINKS_TO="https://app.example.com",
    )
    message = rendered(MessageKind.USER_DELETED, envelope=make_envelope(settings))
    assert message["From"] == "Müller <no-reply@xn--mnchen-3ya.example>"
    assert message["Reply-To"] == "help@example.com"
    assert message["Message-ID"] == f"<{ID}@xn--mnchen-3ya.example>"
    assert message["Subject"] == "Your account at app.example.com was deleted"
    assert make_envelope(settings).sender_address == "no-reply@xn--mnchen-3ya.example"


def test_an_address_beyond_ascii_is_in_the_fields_as_it_is() -> None:
    made = render(DELETED, "jörg@straße.example", None, ENVELOPE).as_bytes()
    assert "\r\nTo: jörg@xn--strae-oqa.example\r\n".encode() in made
    domain_alone = render(DELETED, "joe@straße.example", None, ENVELOPE)
    assert b"\r\nTo: joe@xn--strae-oqa.example\r\n" in domain_alone.as_bytes()


@pytest.mark.parametrize(
    "recipient",
    [
        "a@example.com\r\nBcc: b@example.com",
        "a\nBcc: b@example.com",
        "a@exa\ud800mple.com",
        "alice",
        "",
    ],
)
def test_an_address_that_would_inject_a_field_or_cannot_be_encoded_is_a_dead_message(
    recipient: str,
) -> None:
    with pytest.raises(MessageError) as caught:
        render(DELETED, recipient, None, ENVELOPE)
    assert isinstance(caught.value, Permanent)
    assert "example" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("recipient", ["a,b@example.com", "a>, <b@example.com", "a b@example.com"])
def test_an_unusual_address_remains_one_address(recipient: str) -> None:
    local, _, domain = recipient.rpartition("@")
    (address,) = rendered(MessageKind.USER_DELETED, to=recipient)["To"].addresses
    assert (address.username, address.domain) == (local, domain)


@pytest.mark.parametrize(
    "message",
    [claimed("unknown"), claimed("user-deleted", language="fr"), claimed("password-reset")],
    ids=["kind", "language", "no secrets"],
)
def test_a_message_that_has_no_text_is_dead(message: ClaimedMessage) -> None:
    with pytest.raises(MessageError):
        render(message, ALICE, None, ENVELOPE)

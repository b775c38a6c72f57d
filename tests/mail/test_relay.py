"""Which relay a URL names."""

from datetime import UTC, datetime

import pytest

from mail.folder_relay import FolderRelay
from mail.messages import Envelope
from mail.relay import make_relay
from mail.smtp_relay import SmtpRelay
from settings.mail_url import parse_mail_url


@pytest.mark.parametrize(
    ("url", "kind"),
    [("folder:var/mail", FolderRelay), ("smtps://relay.example.com", SmtpRelay)],
)
def test_a_url_names_a_folder_or_a_server(url: str, kind: type[object]) -> None:
    parsed = parse_mail_url(url)
    assert parsed is not None
    envelope = Envelope("no-reply@example.com", "", "https://auth.example.com")
    assert isinstance(make_relay(parsed, envelope, lambda: datetime.now(UTC)), kind)

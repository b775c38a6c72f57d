"""Which relay a URL names."""

from datetime import UTC, datetime

import pytest

from mail.folder_relay import FolderRelay
from mail.messages import Envelope
from mail.relay import make_relay
from mail.smtp_relay import SmtpRelay
from settings.mail_url import SmtpUrl, parse_mail_url


@pytest.mark.parametrize(
    ("url", "kind"),
    [("folder:var/mail", FolderRelay), ("smtps://relay.example.com", SmtpRelay)],
)
def test_a_url_names_a_folder_or_a_server(url: str, kind: type[object]) -> None:
    parsed = parse_mail_url(url)
    assert parsed is not None
    envelope = Envelope("no-reply@example.com", "", "https://auth.example.com")
    assert isinstance(make_relay(parsed, envelope, lambda: datetime.now(UTC)), kind)


def test_a_url_with_a_link_local_address_has_its_zone() -> None:
    parsed = parse_mail_url("smtp://[fe80::1%25eth0]:2525")
    assert isinstance(parsed, SmtpUrl)
    assert (parsed.host, parsed.port) == ("fe80::1%eth0", 2525)


@pytest.mark.parametrize("host", ["[fe80::1%eth0]", "[fe80::1%25]", "[fe80::1%25a%2F]", "a%25b"])
def test_a_zone_is_escaped_and_has_a_name(host: str) -> None:
    with pytest.raises(ValueError, match="must be smtps://"):
        parse_mail_url(f"smtp://{host}")

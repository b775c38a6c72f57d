"""Where messages go, as the server announces it."""

from pathlib import Path

import pytest

from tests.harness.configuration import settings_with
from wiring.mail import mail_location


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", None),
        ("smtps://user:open-sesame@smtp.example.com", "smtp.example.com:465"),
        ("smtp+starttls://user:open-sesame@[2001:db8::1]:2525", "[2001:db8::1]:2525"),
        (f"folder:{Path.cwd() / 'messages'}", "messages"),
        ("folder:/var/messages", "/var/messages"),
    ],
)
def test_the_place_of_messages_is_announced_without_credentials(
    url: str, expected: str | None
) -> None:
    settings = settings_with(MAIL__URL=url, MAIL__FROM="no-reply@example.com")
    assert mail_location(settings) == expected

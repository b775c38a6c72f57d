"""What the start announces."""

import re

import pytest

from settings import load_settings
from tests.harness.configuration import settings_with
from tests.harness.settings_files import PRODUCTION, SHIPPED
from wiring.listening import greeting


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1", "http://127.0.0.1:8019"),
        ("localhost", "http://localhost:8019"),
        ("::1", "http://[::1]:8019"),
        ("0.0.0.0", "http://localhost:8019"),  # noqa: S104 - nothing listens
        ("::", "http://localhost:8019"),
    ],
)
def test_links_begin_with_the_address_of_the_pages_that_the_start_prints(
    host: str, origin: str
) -> None:
    settings = settings_with(SERVER__HOST=host, SERVER__PORT=8019)
    printed = re.search(r" pages at (\S+)/auth/,", greeting(settings, (host, 8019)))
    assert printed is not None
    assert printed[1] == settings.links_origin == origin


def test_the_port_that_the_system_chose_is_printed() -> None:
    text = greeting(settings_with(SERVER__PORT=0), ("127.0.0.1", 1234))
    assert "listens on http://127.0.0.1:1234, pages at http://127.0.0.1:1234/auth/, data" in text


@pytest.mark.parametrize(
    ("variables", "pages"),
    [
        ({"USERAUTH_SERVER__PUBLIC_URL": "https://id.example"}, "https://id.example/auth/"),
        ({}, None),
        (
            {
                "USERAUTH_SERVER__PUBLIC_URL": "https://id.example",
                "USERAUTH_PAGES__ENABLED": "false",
            },
            None,
        ),
    ],
)
def test_in_production_the_pages_are_at_the_public_url(
    variables: dict[str, str], pages: str | None
) -> None:
    settings = load_settings(PRODUCTION | variables, SHIPPED)
    printed = re.search(r" pages at (\S+),", greeting(settings, ("127.0.0.1", 8000)))
    assert (printed and printed[1]) == pages

"""The settings of tests, and how a test overrides them."""

from functools import cache
from pathlib import Path

import pytest

from settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
# Each is a directory, or a module at the top level.
SOURCE_PATHS = (
    *("server.py", "manage.py", "wiring", "pages", "handlers", "commands", "contract", "mail"),
    *("services", "transport", "postgres", "rules", "db", "settings", "ops"),
)
KEY = "Zk4tW9hXq2LrB7vNcY0mSgD5pJf8EuTa"
TEST_VARIABLES = {
    "APP_SETTINGS": "testing",
    "SECRET_KEYS": KEY,
    # No wait after a failure ends while a test sends the next request, however slow the machine is.
    "USERAUTH_THROTTLE__FIRST_DELAY_SECONDS": "60",
}


def path_in_repository(file: Path) -> str:
    """Return the path of a file, which names it in a failure: README.md exists several times."""
    return file.relative_to(ROOT).as_posix()


def settings_with(**over: object) -> Settings:
    """Return the settings of tests with some overridden, as by PASSWORDS__WORKERS=1."""
    return _load(tuple((f"USERAUTH_{name}", _text(value)) for name, value in over.items()))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@cache
def _load(variables: tuple[tuple[str, str], ...]) -> Settings:
    return load_settings(TEST_VARIABLES | dict(variables), ROOT / "settings.toml")


def override_settings(**over: object) -> pytest.MarkDecorator:
    """Mark a test that overrides settings."""
    return pytest.mark.parametrize("settings", [over], indirect=True)

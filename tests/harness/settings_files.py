"""The shipped settings file, and settings of production, for tests that load changed ones."""

from collections.abc import Callable
from pathlib import Path

from settings import Settings

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "settings.toml"
NEW_KEY = "x3vNw9QmZ0rTfBq7LdYs1KaUeHc5JgPo8WiXnRtMbVk"
OLD_KEY = "8e1f0b6c2d9a47538e60c1b5f4a7d293605b8e1c9f3d72a4"
SECRET = "hunter2hunter2"
PRODUCTION = {
    "APP_SETTINGS": "production",
    "DATABASE_URL": "postgresql://db.example/users?sslmode=verify-full",
    "SECRET_KEYS": NEW_KEY,
    "USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1/32",
}

Load = Callable[..., Settings]
Faults = Callable[..., tuple[str, ...]]

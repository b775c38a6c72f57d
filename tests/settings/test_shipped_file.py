"""The shipped settings.toml: its defaults, comments and documentation."""

import re
import tomllib

from pydantic import SecretStr

from settings import FIELDS, VARIABLES, Profile, load_settings
from settings.choices import Pooler
from settings.mail_url import FolderUrl
from tests.harness.settings_files import ROOT, SHIPPED


def test_the_shipped_file_gives_the_documented_defaults() -> None:
    settings = load_settings({}, SHIPPED)
    assert settings.profile is Profile.DEVELOPMENT
    assert settings.server.model_dump() == {
        "host": "127.0.0.1",
        "port": 8000,
        "processes": 1,
        "instance": 0,
        "reuse_port": False,
        "public_url": "",
        "drain_delay_seconds": 1.0,
        "drain_seconds": 10.0,
        "lag_warning_seconds": 0.05,
        "trusted_proxies": (),
        "certificate": None,
        "private_key": None,
        "require_https": False,
    }
    assert settings.database.model_dump() == {
        "url": SecretStr(""),
        "pooler": Pooler.NONE,
        "direct_url": SecretStr(""),
        "embedded_dir": ROOT / "var/postgres",
        "pool_min": 1,
        "pool_max": 10,
        "reads": "primary",
        "acquire_timeout_seconds": 3.0,
        "query_timeout_seconds": 3.0,
    }
    assert settings.tokens.model_dump() == {
        "lifetime_seconds": 86400,
        "max_per_user": 50,
        "keep_expired_days": 7,
        "keys_file": ROOT / "var/secret_keys",
        "keys": (),
    }
    assert settings.passwords.model_dump() == {
        "bcrypt_cost": 12,
        "min_length": 8,
        "refuse_common": False,
        "workers": 0,
        "max_wait_seconds": 5.0,
        "max_per_account": 8,
        "remember_seconds": 60.0,
        "current_required": False,
        "service_words": ("userauth",),
        "pepper": (),
    }
    assert settings.registration.model_dump() == {
        "quarantine_days": 0,
        "internal_domains": True,
        "open": True,
        "verification": "optional",
    }
    assert settings.mail.relay == FolderUrl(ROOT / "var" / "mail")
    assert settings.mail.model_dump(mode="json", by_alias=True, exclude={"url"}) == {
        "from": "userauth <userauth@localhost>",
        "reply_to": "",
        "links_to": "",
        "language": "en",
        "per_minute": 60,
        "recipient_per_hour": 5,
        "user_per_hour": 5,
        "network_per_hour": 20,
    }
    assert settings.throttle.model_dump() == {
        "pair_failures": 10,
        "account_failures": 30,
        "address_failures": 100,
        "registrations": 20,
        "max_consecutive_failures": 100,
        "first_delay_seconds": 1.0,
        "longest_delay_seconds": 900.0,
        "forget_seconds": 3600,
        "hashes_per_minute": 60,
        "writes_per_minute": 60,
    }
    assert settings.audit.model_dump() == {"keep_days": 90}
    assert settings.metrics.model_dump() == {"host": "127.0.0.1", "port": 0}
    assert settings.limits.model_dump() == {
        "max_body_bytes": 65536,
        "max_connections": 10_000,
        "network_connections": 500,
        "first_request_seconds": 10.0,
        "idle_timeout_seconds": 60.0,
        "body_timeout_seconds": 15.0,
    }


def test_every_setting_has_a_default_and_a_comment_in_the_shipped_file() -> None:
    default = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))["default"]
    assert {section: list(keys) for section, keys in default.items()} == {
        section: list(keys) for section, keys in FIELDS.items() if keys
    }
    assignments = [
        line
        for line in SHIPPED.read_text(encoding="utf-8").splitlines()
        if re.match(r"\w+ *=", line)
    ]
    assert all(re.search(r"  # \S", line) for line in assignments)


def test_every_setting_and_every_variable_is_documented() -> None:
    text = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    rows = {
        line.split("`")[1]: line for line in text.splitlines() if re.match(r"\| `\w+\.\w+`", line)
    }
    assert list(rows) == [f"{section}.{key}" for section, keys in FIELDS.items() for key in keys]
    for variable, (section, key) in VARIABLES.items():
        assert f"`{variable}`" in rows[f"{section}.{key}"]

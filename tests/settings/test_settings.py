import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from settings import FIELDS, VARIABLES, Profile, Settings, SettingsError, load_settings
from settings.cautions import cautions

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

RENAMES = [
    ("server", "quiet_seconds", "drain_delay_seconds"),
    ("passwords", "most_per_account", "max_per_account"),
    ("throttle", "most_in_a_row", "max_consecutive_failures"),
]

Load = Callable[..., Settings]
Faults = Callable[..., tuple[str, ...]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_bytes(SHIPPED.read_bytes())
    return path


@pytest.fixture
def load(file: Path) -> Load:
    def load_with(environ: Mapping[str, str] | None = None, toml: str = "") -> Settings:
        """Load the shipped file with toml appended, with the given environment."""
        file.write_text(SHIPPED.read_text(encoding="utf-8") + toml, encoding="utf-8")
        return load_settings(environ or {}, file)

    return load_with


@pytest.fixture
def faults(load: Load) -> Faults:
    def faults_with(environ: Mapping[str, str] | None = None, toml: str = "") -> tuple[str, ...]:
        with pytest.raises(SettingsError) as caught:
            load(environ, toml)
        return caught.value.faults

    return faults_with


# The shipped file


def test_the_shipped_file_gives_the_documented_defaults() -> None:
    settings = load_settings({}, SHIPPED)
    assert settings.profile is Profile.DEVELOPMENT
    assert settings.server.model_dump() == {
        "host": "127.0.0.1",
        "port": 8000,
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
        "embedded_dir": ROOT / "var/postgres",
        "pool_min": 1,
        "pool_max": 10,
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


# Profiles


@pytest.mark.parametrize(
    ("choice", "profile"),
    [
        ("", Profile.DEVELOPMENT),
        ("development", Profile.DEVELOPMENT),
        ("testing", Profile.TESTING),
        ("production", Profile.PRODUCTION),
        ("config.DevelopmentConfig", Profile.DEVELOPMENT),
        ("config.TestingConfig", Profile.TESTING),
        ("config.ProductionConfig", Profile.PRODUCTION),
        ("config.StagingConfig", Profile.PRODUCTION),
    ],
)
def test_app_settings_chooses_the_profile(load: Load, choice: str, profile: Profile) -> None:
    assert load(PRODUCTION | {"APP_SETTINGS": choice}).profile is profile


@pytest.mark.parametrize("choice", ["prod", "Production", "config.productionconfig", " testing"])
def test_the_fault_of_an_unknown_profile_lists_the_accepted_ones(
    faults: Faults, choice: str
) -> None:
    assert faults({"APP_SETTINGS": choice}) == (
        (
            f'APP_SETTINGS = "{choice}": must be one of development, testing, production, '
            "config.DevelopmentConfig, config.TestingConfig, config.ProductionConfig, "
            "config.StagingConfig"
        ),
    )


def test_a_profile_overrides_the_default(load: Load) -> None:
    toml = "[testing.limits]\nmax_body_bytes = 9000\n[development.limits]\nmax_body_bytes = 7000\n"
    settings = load({"APP_SETTINGS": "testing"}, toml)
    assert (settings.limits.max_body_bytes, settings.server.host) == (9000, "127.0.0.1")
    assert settings.passwords.bcrypt_cost == 4


def test_production_has_its_own_defaults(load: Load) -> None:
    settings = load(PRODUCTION)
    assert settings.passwords.refuse_common is True
    assert settings.passwords.bcrypt_cost == 12
    assert settings.tokens.keys_file is None


def test_production_without_database_and_keys_names_the_variables_to_set(faults: Faults) -> None:
    reported = faults({"APP_SETTINGS": "production"})
    assert reported[0].startswith("server.require_https")
    assert reported[1:] == (
        (
            'database.url = "" (from settings.toml [default]): '
            "set DATABASE_URL=postgresql://… or DATABASE_URL=embedded"
        ),
        (
            "tokens.keys = [] (from settings.toml [default]): "
            "set SECRET_KEYS to a random text of at least 32 characters"
        ),
    )


def test_production_requires_a_certificate_or_a_proxy_where_it_requires_https(
    load: Load, faults: Faults
) -> None:
    nowhere = PRODUCTION | {"USERAUTH_SERVER__TRUSTED_PROXIES": ""}
    (fault,) = faults(nowhere)
    assert fault.startswith("server.require_https = true (from settings.toml [production]): no ")
    files = {"USERAUTH_SERVER__CERTIFICATE": "c.pem", "USERAUTH_SERVER__PRIVATE_KEY": "k.pem"}
    assert load(nowhere | files).server.require_https
    assert not load(nowhere | {"USERAUTH_SERVER__REQUIRE_HTTPS": "false"}).server.require_https
    (fault,) = faults({"USERAUTH_SERVER__REQUIRE_HTTPS": "true"})
    assert "set server.certificate, or name the proxy" in fault
    assert load(PRODUCTION).server.require_https


def test_a_certificate_and_its_key_must_be_set_together(faults: Faults) -> None:
    for name in ("CERTIFICATE", "PRIVATE_KEY"):
        (fault,) = faults({f"USERAUTH_SERVER__{name}": "file.pem"})
        assert "must be set together with server.certificate, or neither" in fault


@pytest.mark.parametrize(
    "origins", ["https://app.example.com,http://localhost:3000", "*", "http://[::1]:8080"]
)
def test_origins_are_accepted_as_browsers_send_them(load: Load, origins: str) -> None:
    assert ",".join(load({"USERAUTH_CORS__ORIGINS": origins}).cors.origins) == origins


@pytest.mark.parametrize("url", ["", "https://auth.example.com", "https://auth.example.com:8443"])
def test_a_public_url_is_an_origin(load: Load, url: str) -> None:
    assert load(PRODUCTION | {"USERAUTH_SERVER__PUBLIC_URL": url}).server.public_url == url


@pytest.mark.parametrize(
    "url",
    [
        "auth.example.com",
        "https://auth.example.com/",
        "https://auth.example.com/login",
        "https://auth.example.com?a=b",
        "https://user@auth.example.com",
        "https://Auth.example.com",
        "https://auth.example.com:443",
        "ftp://auth.example.com",
        "https://auth.example.com\n",
    ],
)
def test_another_public_url_is_rejected(faults: Faults, url: str) -> None:
    (fault,) = faults({"USERAUTH_SERVER__PUBLIC_URL": url})
    assert fault.startswith("server.public_url = ")
    assert "must be an origin, such as https://auth.example.com" in fault


def test_production_rejects_a_public_url_without_encryption(load: Load, faults: Faults) -> None:
    variable = {"USERAUTH_SERVER__PUBLIC_URL": "http://localhost:8000"}
    assert load(variable).server.public_url == "http://localhost:8000"
    (fault,) = faults(PRODUCTION | variable)
    assert fault.endswith("must begin with https:// in production")


@pytest.mark.parametrize(
    "origins",
    [
        "app.example.com",
        "https://App.example.com",
        "https://app.example.com/path",
        "https://app.example.com//",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "null",
        "*,https://app.example.com",
        "https://*.example.com",
    ],
)
def test_an_origin_that_no_browser_sends_is_rejected(faults: Faults, origins: str) -> None:
    (fault,) = faults({"USERAUTH_CORS__ORIGINS": origins})
    assert fault.startswith("cors.origins = ")


def test_the_slash_at_the_end_of_an_origin_is_removed(load: Load) -> None:
    origins = load({"USERAUTH_CORS__ORIGINS": "https://a.example/,https://b.example"}).cors.origins
    assert origins == ("https://a.example", "https://b.example")


def test_variables_can_be_credentials_of_systemd(
    load: Load, faults: Faults, tmp_path: Path
) -> None:
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "SECRET_KEYS").write_text(f"{NEW_KEY}\n\n{OLD_KEY}\n", encoding="utf-8")
    (directory / "PASSWORD_PEPPER").write_text("\n\n", encoding="utf-8")
    (directory / "something_else").write_text("x", encoding="utf-8")
    environ = {"CREDENTIALS_DIRECTORY": str(directory)}
    settings = load(environ)
    assert [key.get_secret_value() for key in settings.tokens.keys] == [NEW_KEY, OLD_KEY]
    assert settings.passwords.pepper == ()
    (fault,) = faults(environ | {"SECRET_KEYS": OLD_KEY})
    assert fault == "SECRET_KEYS and the credential of that name differ: set only one of them"
    (directory / "USERAUTH_SERVER__PROT").write_text("5", encoding="utf-8")
    (fault,) = faults(environ)
    assert fault.startswith("USERAUTH_SERVER__PROT (from the environment): unknown; did you mean")
    (directory / "USERAUTH_SERVER__PROT").unlink()
    (directory / "DATABASE_URL").mkdir()
    (fault,) = faults(environ)
    assert fault == "DATABASE_URL (from CREDENTIALS_DIRECTORY): must be a readable file of UTF-8"


def test_production_accepts_an_explicit_embedded_database(load: Load) -> None:
    settings = load(PRODUCTION | {"DATABASE_URL": "embedded"})
    assert settings.database.url.get_secret_value() == "embedded"


def test_production_accepts_a_keys_file_in_place_of_keys(load: Load, file: Path) -> None:
    environ = PRODUCTION | {"SECRET_KEYS": "", "USERAUTH_TOKENS__KEYS_FILE": "keys"}
    assert load(environ).tokens.keys_file == file.parent / "keys"


@pytest.mark.parametrize(
    ("variable", "value", "least"),
    [("USERAUTH_PASSWORDS__BCRYPT_COST", "9", 10), ("USERAUTH_PASSWORDS__MIN_LENGTH", "7", 8)],
)
def test_production_has_stricter_bounds(
    load: Load, faults: Faults, variable: str, value: str, least: int
) -> None:
    load({variable: value})
    (fault,) = faults(PRODUCTION | {variable: value})
    assert fault.endswith(f"= {value} (from {variable}): must be at least {least} in production")
    load(PRODUCTION | {variable: str(least)})


WORTHLESS = ["0" * 32, "change-me-" * 4, "a-very-secret-key-for-production", "abcd" * 8]


@pytest.mark.parametrize("variable", ["SECRET_KEYS", "PASSWORD_PEPPER"])
@pytest.mark.parametrize("secret", WORTHLESS)
def test_production_rejects_guessable_keys_and_peppers(
    load: Load, faults: Faults, variable: str, secret: str
) -> None:
    load({variable: secret})
    for secrets in (secret, f"{OLD_KEY},{secret}"):
        (fault,) = faults(PRODUCTION | {variable: secrets})
        assert fault.startswith(("tokens.keys = *****", "passwords.pepper = *****"))
        assert f"(from {variable}): contains a " in fault
        assert "token_urlsafe(32)" in fault
        assert secret not in fault


def test_production_rejects_a_pepper_that_is_also_a_signing_key(load: Load, faults: Faults) -> None:
    both = {"SECRET_KEYS": f"{NEW_KEY},{OLD_KEY}", "PASSWORD_PEPPER": OLD_KEY}
    load(both)
    (fault,) = faults(PRODUCTION | both)
    assert fault.startswith(
        "passwords.pepper = ********** (from PASSWORD_PEPPER): must not contain a key"
    )


@pytest.mark.parametrize(
    "networks",
    [
        "0.0.0.0/0",
        "::/0",
        "0.0.0.0/1,128.0.0.0/1",
        "10.0.0.0/8,8.0.0.0/7",
        "2000::/3",
        "::/15",
        "::ffff:0.0.0.0/96",
        "::ffff:0.0.0.0/103",
    ],
)
def test_production_does_not_trust_a_network_that_includes_callers(
    load: Load, faults: Faults, networks: str
) -> None:
    variable = {"USERAUTH_SERVER__TRUSTED_PROXIES": networks}
    load(variable)
    (fault,) = faults(PRODUCTION | variable)
    assert fault.startswith("server.trusted_proxies = [")
    assert "name your proxies" in fault


@pytest.mark.parametrize(
    "networks",
    [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "fc00::/7",
        "fd00::/8",
        "fe80::/10",
        "2001:db8::/32",
        "::ffff:10.0.0.0/104",
        "173.245.48.0/20",
    ],
)
def test_production_trusts_networks_of_one_operator(load: Load, networks: str) -> None:
    variable = {"USERAUTH_SERVER__TRUSTED_PROXIES": networks}
    assert load(PRODUCTION | variable).server.trusted_proxies == (networks,)


IN_THE_OPEN = "postgresql://user:hunter2hunter2@"


@pytest.mark.parametrize(
    "url",
    [
        "db.example/users",
        "db.example/users?sslmode=prefer",
        "db.example/users?sslmode=allow",
        "db.example/users?sslmode=",
        "db.example/users?sslmode=verify_full",
        "db.example/users?sslmode=verify-full&sslmode=prefer",
        "10.0.0.5/users",
        "[2001:db8::1]/users",
        "/users?host=db.example",
        "/users?hostaddr=10.0.0.5",
        "localhost/users?hostaddr=10.0.0.5",
    ],
)
def test_production_rejects_a_database_connection_that_can_fall_back_to_clear_text(
    load: Load, faults: Faults, url: str
) -> None:
    load({"DATABASE_URL": IN_THE_OPEN + url})
    (fault,) = faults(PRODUCTION | {"DATABASE_URL": IN_THE_OPEN + url})
    assert fault.startswith("database.url = ********** (from DATABASE_URL): add ?sslmode=verify")
    assert SECRET not in fault


@pytest.mark.parametrize(
    "url",
    [
        "db.example/users?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca.pem",
        "db.example/users?sslmode=verify-ca",
        "db.example/users?sslmode=require",
        "db.example/users?sslmode=disable",
        "db.example/users?sslmode=prefer&sslmode=require",
        "localhost/users",
        "127.0.0.1:5433/users?sslmode=prefer",
        "[::1]/users",
        "/users?host=/var/run/postgresql",
        "%2Fvar%2Frun%2Fpostgresql/users",
        "db.example/users?hostaddr=127.0.0.1",
    ],
)
def test_production_accepts_a_database_connection_that_is_encrypted_local_or_explicitly_unencrypted(
    load: Load, url: str
) -> None:
    load(PRODUCTION | {"DATABASE_URL": IN_THE_OPEN + url})


# The environment


def test_variables_with_short_names_override_the_file(load: Load) -> None:
    settings = load(
        {
            "HOST": "::1",
            "PORT": "0",
            "DATABASE_URL": "postgres://db.example/users",
            "SECRET_KEYS": f"{NEW_KEY} ,  {OLD_KEY}",
        }
    )
    assert (settings.server.host, settings.server.port) == ("::1", 0)
    assert settings.database.url.get_secret_value() == "postgres://db.example/users"
    assert [key.get_secret_value() for key in settings.tokens.keys] == [NEW_KEY, OLD_KEY]


def test_any_setting_can_be_set_by_its_long_name(load: Load, file: Path) -> None:
    settings = load(
        {
            "USERAUTH_SERVER__DRAIN_SECONDS": "2.5",
            "USERAUTH_DATABASE__POOL_MAX": "20",
            "USERAUTH_DATABASE__EMBEDDED_DIR": "data",
            "USERAUTH_DATABASE__ACQUIRE_TIMEOUT_SECONDS": "1",
            "USERAUTH_TOKENS__KEYS": f"{NEW_KEY},{OLD_KEY}",
            "USERAUTH_PASSWORDS__REFUSE_COMMON": "true",
        }
    )
    assert settings.server.drain_seconds == 2.5
    assert settings.database.pool_max == 20
    assert settings.database.embedded_dir == file.parent / "data"
    assert settings.database.acquire_timeout_seconds == 1.0
    assert [key.get_secret_value() for key in settings.tokens.keys] == [NEW_KEY, OLD_KEY]
    assert settings.passwords.refuse_common is True


def test_an_empty_variable_counts_as_unset(load: Load) -> None:
    empty = dict.fromkeys([*VARIABLES, "APP_SETTINGS", "USERAUTH_NO__SUCH"], "")
    assert load(empty) == load()


def test_both_names_may_be_set_where_they_agree(load: Load) -> None:
    assert load({"PORT": "9000", "USERAUTH_SERVER__PORT": "9000"}).server.port == 9000


def test_two_names_that_differ_are_rejected_without_their_values(faults: Faults) -> None:
    environ = {"SECRET_KEYS": NEW_KEY, "USERAUTH_TOKENS__KEYS": OLD_KEY}
    assert faults(environ) == (
        "SECRET_KEYS and USERAUTH_TOKENS__KEYS differ: set only one of them",
    )


def test_the_fault_of_an_unknown_variable_suggests_the_closest_name(faults: Faults) -> None:
    assert faults({"USERAUTH_DATABASE__POOL_MAXX": "5", "USERAUTH_server__port": "5"}) == (
        (
            "USERAUTH_DATABASE__POOL_MAXX (from the environment): "
            "unknown; did you mean USERAUTH_DATABASE__POOL_MAX?"
        ),
        (
            "USERAUTH_server__port (from the environment): "
            "unknown; did you mean USERAUTH_SERVER__PORT?"
        ),
    )


@pytest.mark.parametrize("variable", ["USERAUTH_XYZ__ABC", "USERAUTH___"])
def test_a_variable_that_names_no_setting_is_a_fault(faults: Faults, variable: str) -> None:
    (fault,) = faults({variable: SECRET})
    must = "unknown; docs/settings.md lists them"
    assert fault == f"{variable} (from the environment): {must}"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("USERAUTH_SERVER_PORT", "USERAUTH_SERVER__PORT"),
        ("USERAUTH_DATABASE_POOL_MAX", "USERAUTH_DATABASE__POOL_MAX"),
    ],
)
def test_a_variable_with_one_underscore_too_few_is_a_fault(
    faults: Faults, variable: str, meant: str
) -> None:
    assert faults({variable: "5"}) == (
        f"{variable} (from the environment): unknown; did you mean {meant}?",
    )


def test_variables_that_kubernetes_sets_for_a_service_are_ignored(load: Load) -> None:
    """authelia#2253."""
    url = "tcp://10.96.0.1:80"
    links = {
        "USERAUTH_PORT": url,
        "USERAUTH_SERVICE_HOST": "10.96.0.1",
        "USERAUTH_SERVICE_PORT": "80",
        "USERAUTH_SERVICE_PORT_HTTP": "80",
        "USERAUTH_PORT_80_TCP": url,
        "USERAUTH_PORT_80_TCP_ADDR": "10.96.0.1",
        "USERAUTH_PORT_80_TCP_PORT": "80",
        "USERAUTH_PORT_80_TCP_PROTO": "tcp",
        "USERAUTH_SERVER_PORT": url,
        "USERAUTH_METRICS_SERVICE_PORT": "9100",
    }
    settings = load(links)
    assert settings == load()
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("variable", "warning"),
    [
        ("USERAUTH_VERSION", "USERAUTH_VERSION is ignored: it is not a setting"),
        ("USERAUTH_", "USERAUTH_ is ignored: it is not a setting"),
        ("USERAUTH_a\nb", r"USERAUTH_a\nb is ignored: it is not a setting"),
        ("USERAUTH_PORT", "USERAUTH_PORT is ignored: it is not a setting"),
        ("secret_keys", "secret_keys is ignored: the name of the variable is SECRET_KEYS"),
        (
            "userauth_server__port",
            "userauth_server__port is ignored: the name of the variable is USERAUTH_SERVER__PORT",
        ),
    ],
)
def test_a_variable_that_looks_like_a_setting_and_is_none_is_a_warning(
    load: Load, variable: str, warning: str
) -> None:
    assert load({variable: SECRET}).warnings == (warning,)


def test_a_byte_order_mark_before_settings_is_ignored(file: Path, tmp_path: Path) -> None:
    file.write_text(SHIPPED.read_text("utf-8"), encoding="utf-8-sig")
    directory = tmp_path / "credentials"
    directory.mkdir()
    (directory / "SECRET_KEYS").write_text(NEW_KEY, encoding="utf-8-sig")
    settings = load_settings({"CREDENTIALS_DIRECTORY": str(directory)}, file)
    assert [key.get_secret_value() for key in settings.tokens.keys] == [NEW_KEY]


@pytest.mark.parametrize(
    ("rest", "character", "code"),
    [
        ("p@ss@host/name", "@", "%40"),
        ("1/2@host/name", "/", "%2F"),
        ("p/w@host/name", "/", "%2F"),
    ],
)
def test_the_fault_of_a_url_names_the_character_that_must_be_escaped(
    load: Load, faults: Faults, rest: str, character: str, code: str
) -> None:
    (fault,) = faults({"DATABASE_URL": f"postgresql://user:{rest}"})
    must = f"must have {character} in the user or password written as {code}"
    assert fault == f"database.url = ********** (from DATABASE_URL): {must}"
    load({"DATABASE_URL": "postgresql://user:p%40s%2Fs@host/name?options=a@b/c@d"})


def test_other_variables_are_ignored(load: Load) -> None:
    assert load({"PATH": "/bin", "port": "5", "SERVER__PORT": "5"}) == load()


def test_the_environment_of_the_process_is_ignored(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*VARIABLES, "APP_SETTINGS", "USERAUTH_NO__SUCH", "SERVER", "DATABASE"]:
        monkeypatch.setenv(name, "nonsense")
    before = dict(os.environ)
    assert load() == load({})
    assert dict(os.environ) == before


def test_no_env_file_is_read(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=9000\nUSERAUTH_SERVER__PORT=9000\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load().server.port == 8000


# Types and bounds


@pytest.mark.parametrize(
    ("variable", "value", "shown", "wanted"),
    [
        ("SERVER__PORT", "65536", "= 65536", "a whole number of at least 0 and at most 65535"),
        ("SERVER__PORT", "-1", "= -1", "a whole number of at least 0 and at most 65535"),
        ("SERVER__PORT", "true", '= "true"', "a whole number of at least 0 and at most 65535"),
        ("SERVER__PORT", "80.5", '= "80.5"', "a whole number of at least 0 and at most 65535"),
        ("SERVER__DRAIN_SECONDS", "601", "= 601.0", "a number of at least 0 and at most 600"),
        ("SERVER__DRAIN_SECONDS", "nan", "= NaN", "a number of at least 0 and at most 600"),
        ("DATABASE__POOL_MIN", "0", "= 0", "a whole number of at least 1 and at most 1000"),
        ("DATABASE__POOL_MAX", "0", "= 0", "a whole number of at least 1 and at most 1000"),
        ("DATABASE__POOL_MAX", "many", '= "many"', "a whole number of at least 1 and at most 1000"),
        (
            "DATABASE__ACQUIRE_TIMEOUT_SECONDS",
            "0",
            "= 0.0",
            "a number of at least 0.01 and at most 600",
        ),
        (
            "DATABASE__ACQUIRE_TIMEOUT_SECONDS",
            "inf",
            "= Infinity",
            "a number of at least 0.01 and at most 600",
        ),
        (
            "DATABASE__QUERY_TIMEOUT_SECONDS",
            "-1",
            "= -1.0",
            "a number of at least 0.01 and at most 600",
        ),
        ("TOKENS__LIFETIME_SECONDS", "0", "= 0", "of at least 1 and at most 315360000"),
        ("TOKENS__LIFETIME_SECONDS", "315360001", "= 3", "of at least 1 and at most 315360000"),
        ("PASSWORDS__BCRYPT_COST", "3", "= 3", "a whole number of at least 4 and at most 18"),
        ("PASSWORDS__BCRYPT_COST", "19", "= 19", "a whole number of at least 4 and at most 18"),
        ("PASSWORDS__MIN_LENGTH", "0", "= 0", "a whole number of at least 1 and at most 64"),
        ("PASSWORDS__MIN_LENGTH", "65", "= 65", "a whole number of at least 1 and at most 64"),
        ("PASSWORDS__REFUSE_COMMON", "maybe", '= "maybe"', "must be true or false"),
        ("PASSWORDS__WORKERS", "-1", "= -1", "a whole number of at least 0 and at most 64"),
        ("PASSWORDS__WORKERS", "65", "= 65", "a whole number of at least 0 and at most 64"),
        ("LIMITS__MAX_BODY_BYTES", "1023", "= 1023", "of at least 1024 and at most 262144"),
        ("LIMITS__MAX_BODY_BYTES", "262145", "= 262145", "of at least 1024 and at most 262144"),
    ],
)
def test_a_variable_of_the_wrong_type_or_size_is_a_fault(
    faults: Faults, variable: str, value: str, shown: str, wanted: str
) -> None:
    name = f"USERAUTH_{variable}"
    (fault,) = faults({name: value})
    assert fault.startswith(f"{variable.lower().replace('__', '.')} {shown}")
    assert f" (from {name}): must be " in fault
    assert fault.endswith(wanted)


@pytest.mark.parametrize(
    "variable",
    [name for name, (section, key) in VARIABLES.items() if FIELDS[section][key].annotation is bool],
)
def test_a_switch_is_true_or_false_and_no_other_word(
    load: Load, faults: Faults, variable: str
) -> None:
    section, key = VARIABLES[variable]
    for word, value in (("true", True), ("false", False)):
        settings = load({"USERAUTH_SERVER__TRUSTED_PROXIES": "127.0.0.1/32", variable: word})
        assert getattr(getattr(settings, section), key) is value
    for word in ("yes", "no", "on", "off", "1", "0", "t", "TRUE", "False"):
        (fault,) = faults({variable: word})
        assert fault == f'{section}.{key} = "{word}" (from {variable}): must be true or false'


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SERVER__PORT", "65535"),
        ("SERVER__DRAIN_SECONDS", "0"),
        ("SERVER__DRAIN_SECONDS", "600"),
        ("DATABASE__POOL_MAX", "1"),
        ("DATABASE__QUERY_TIMEOUT_SECONDS", "0.01"),
        ("TOKENS__LIFETIME_SECONDS", "1"),
        ("TOKENS__LIFETIME_SECONDS", "315360000"),
        ("PASSWORDS__BCRYPT_COST", "4"),
        ("PASSWORDS__BCRYPT_COST", "18"),
        ("PASSWORDS__MIN_LENGTH", "1"),
        ("PASSWORDS__MIN_LENGTH", "64"),
        ("PASSWORDS__WORKERS", "64"),
        ("LIMITS__MAX_BODY_BYTES", "1024"),
        ("LIMITS__MAX_BODY_BYTES", "262144"),
    ],
)
def test_the_bounds_themselves_are_accepted(load: Load, variable: str, value: str) -> None:
    section, key = variable.lower().split("__")
    assert getattr(getattr(load({f"USERAUTH_{variable}": value}), section), key) == float(value)


@pytest.mark.parametrize(
    ("section", "assignment", "wanted"),
    [
        ("server", 'port = "5"', "a whole number of at least 0 and at most 65535"),
        ("server", "port = true", "a whole number of at least 0 and at most 65535"),
        ("server", "port = 5.0", "a whole number of at least 0 and at most 65535"),
        ("server", "host = 5", "an address or a host name"),
        ("server", 'host = ""', "an address or a host name"),
        ("server", "drain_seconds = false", "a number of at least 0 and at most 600"),
        ("server", "drain_seconds = nan", "a number of at least 0 and at most 600"),
        ("database", "acquire_timeout_seconds = inf", "a number of at least 0.01 and at most 600"),
        ("database", "url = 5", "a string"),
        ("database", 'embedded_dir = ""', "a path"),
        ("database", "embedded_dir = 5", "a path"),
        ("tokens", "keys_file = 5", "a path or empty"),
        ("tokens", f'keys = "{NEW_KEY}"', "a list of strings of at least 32 characters"),
        ("tokens", "keys = [5]", "a list of strings of at least 32 characters"),
        ("passwords", 'refuse_common = "true"', "true or false"),
        ("passwords", "refuse_common = 1", "true or false"),
        ("passwords", "workers = 1979-05-27", "a whole number of at least 0 and at most 64"),
    ],
)
def test_a_value_in_the_file_has_its_toml_type(
    faults: Faults, section: str, assignment: str, wanted: str
) -> None:
    (fault,) = faults(toml=f"[development.{section}]\n{assignment}\n")
    key = assignment.split(maxsplit=1)[0]
    assert fault.startswith(f"{section}.{key} = ")
    assert fault.endswith(f" (from settings.toml [development]): must be {wanted}")


def test_a_whole_number_is_accepted_for_a_number(load: Load) -> None:
    settings = load(toml="[development.database]\nquery_timeout_seconds = 2\n")
    assert settings.database.query_timeout_seconds == 2.0


def test_the_pool_cannot_be_smaller_than_its_minimum(faults: Faults) -> None:
    assert faults({"USERAUTH_DATABASE__POOL_MIN": "11"}) == (
        (
            "database.pool_max = 10 (from settings.toml [default]): "
            "must be at least database.pool_min, which is 11"
        ),
    )


def test_relative_paths_are_relative_to_the_directory_of_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({}, Path(file.name))
    assert settings.database.embedded_dir == tmp_path / "var/postgres"
    assert settings.tokens.keys_file == tmp_path / "var/secret_keys"


def test_an_absolute_path_is_unchanged(load: Load) -> None:
    settings = load({"USERAUTH_DATABASE__EMBEDDED_DIR": "/srv/postgres"})
    assert settings.database.embedded_dir == Path("/srv/postgres")


def test_an_empty_keys_file_is_none(load: Load) -> None:
    assert load(toml='[development.tokens]\nkeys_file = ""\n').tokens.keys_file is None


# The database


@pytest.mark.parametrize(
    "url",
    [
        "embedded",
        "postgresql://db.example",
        "postgres://user:pa#ss?w%40rd@db.example:5433/users?sslmode=require",
        "postgresql://user@10.0.0.5/users",
        "postgresql://[2001:db8::1]:5432/users",
        "postgresql:///users?host=/var/run/postgresql",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/users",
        "postgresql:///users?hostaddr=10.0.0.5",
        "postgresql://db.example/users?hostaddr=10.0.0.5",
    ],
)
def test_a_database_with_one_host_or_socket_is_accepted(load: Load, url: str) -> None:
    assert load({"DATABASE_URL": url}).database.url.get_secret_value() == url


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            f"postgresql://user:{SECRET}@one,two/users",
            "failover is not",
        ),
        (
            f"postgresql://user:{SECRET}@one:1,two:2/users",
            "failover is not",
        ),
        (
            f"postgresql://user:{SECRET}@one%2Ctwo/users",
            "failover is not",
        ),
        (
            f"postgresql://user:{SECRET}@/users?host=one,two",
            "failover is not",
        ),
        (
            f"postgresql://user:{SECRET}@one/users?host=two",
            "failover is not",
        ),
        (
            f"postgresql://user:{SECRET}@/users?hostaddr=10.0.0.5,10.0.0.6",
            "failover is not",
        ),
        (f"postgresql://user:{SECRET}@one/users?hostaddr=10.0.0.5,10.0.0.6", "failover is not"),
        (f"postgresql://user:{SECRET}@/users", "must name a host, or a socket directory"),
        (f"mysql://user:{SECRET}@one/users", "must be embedded or postgresql://"),
        (f"user:{SECRET}@one/users", "must be embedded or postgresql://"),
        (f"host=one password={SECRET}", "must be embedded or postgresql://"),
        (f"postgresql://user:{SECRET}/x@one/users", "written as %2F"),
        (f"postgresql://user:x@{SECRET}@one/users", "written as %40"),
        (f"postgresql://user:{SECRET}%zz@one/users", "must be embedded or postgresql://"),
        (f"postgresql://user:{SECRET} x@one/users", "must be embedded or postgresql://"),
        (f"postgresql://user:{SECRET}@one/users\n", "must be embedded or postgresql://"),
        (f"postgresql://user:{SECRET}@one:port/users", "must be embedded or postgresql://"),
        (f"EMBEDDED{SECRET}", "must be embedded or postgresql://"),
    ],
)
def test_an_unsupported_database_url_is_rejected_without_its_password(
    faults: Faults, url: str, sentence: str
) -> None:
    (fault,) = faults({"DATABASE_URL": url})
    assert fault.startswith("database.url = ********** (from DATABASE_URL): ")
    assert sentence in fault
    assert SECRET not in fault


# The keys


@pytest.mark.parametrize("keys", [SECRET, f"{NEW_KEY},{SECRET}", f"{NEW_KEY},", " ", "," * 32])
def test_a_short_key_is_rejected(faults: Faults, keys: str) -> None:
    assert faults({"SECRET_KEYS": keys}) == (
        (
            "tokens.keys = ********** (from SECRET_KEYS): "
            "must be a list of strings of at least 32 characters"
        ),
    )


def test_a_duplicate_key_is_rejected(faults: Faults) -> None:
    assert faults({"SECRET_KEYS": f"{NEW_KEY}, {OLD_KEY}, {NEW_KEY}"}) == (
        "tokens.keys = ********** (from SECRET_KEYS): must not contain the same key twice",
    )


def test_keys_can_be_set_in_the_file(load: Load) -> None:
    keys = load(toml=f'[development.tokens]\nkeys = ["{NEW_KEY}", "{OLD_KEY}"]\n').tokens.keys
    assert [key.get_secret_value() for key in keys] == [NEW_KEY, OLD_KEY]


# Unknown names in the file


def test_the_fault_of_an_unknown_key_suggests_the_closest_name(faults: Faults) -> None:
    assert faults(toml="[development.database]\npool_maxx = 5\n") == (
        "database.pool_maxx (from settings.toml [development]): unknown; did you mean pool_max?",
    )


def test_the_fault_of_an_unknown_key_without_a_close_name_lists_the_known_ones(
    faults: Faults,
) -> None:
    assert faults(toml="[development.server]\nzzz = 5\n") == (
        (
            "server.zzz (from settings.toml [development]): "
            "unknown; known are host, port, public_url, drain_delay_seconds, drain_seconds, "
            "lag_warning_seconds, trusted_proxies, certificate, private_key, require_https"
        ),
    )


def test_the_fault_of_an_unknown_section_suggests_the_closest_name(faults: Faults) -> None:
    assert faults(toml="[development.Server]\n[testing.databse]\nurl = 5\n") == (
        "Server (from settings.toml [development]): unknown; did you mean server?",
        "databse (from settings.toml [testing]): unknown; did you mean database?",
    )


def test_an_unknown_profile_in_the_file_is_a_fault(faults: Faults) -> None:
    assert faults(toml="[staging.server]\nport = 5\n") == (
        (
            "staging (from settings.toml): "
            "must be one of the tables default, development, testing, production"
        ),
    )


def test_the_file_cannot_choose_the_profile(faults: Faults) -> None:
    (fault,) = faults(toml='[development]\nprofile = "production"\n')
    assert fault == (
        'profile = "production" (from settings.toml [development]): '
        "must be chosen by APP_SETTINGS, not here"
    )


def test_the_other_profiles_are_checked_too(faults: Faults) -> None:
    assert faults(toml='[testing.limits]\nmax_body = 5\nmax_connections = "x"\n') == (
        (
            'limits.max_connections = "x" (from settings.toml [testing]): '
            "must be a whole number of at least 1 and at most 1000000"
        ),
        "limits.max_body (from settings.toml [testing]): unknown; did you mean max_body_bytes?",
    )


def test_the_fault_of_a_value_in_place_of_a_table_does_not_show_the_value(
    faults: Faults, file: Path
) -> None:
    assert faults(toml=f'[development]\ntokens = "{SECRET}"\n') == (
        "tokens (from settings.toml [development]): must be a table",
    )
    file.write_text(f'development = "{SECRET}"\n' + SHIPPED.read_text("utf-8"), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings({}, file)
    assert caught.value.faults == (
        (
            "development (from settings.toml): "
            "must be one of the tables default, development, testing, production"
        ),
    )


def test_a_missing_default_is_a_fault(file: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8").replace("pool_max ", "# pool_max ")
    file.write_text(text.replace("[default.limits]", "[testing.limits]"), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings({}, file)
    assert caught.value.faults == (
        "database.pool_max: missing; settings.toml has to give its default in [default]",
        "limits: missing; settings.toml has to give its default in [default]",
    )


# Renamed settings


@pytest.mark.parametrize(("section", "old", "new"), RENAMES)
def test_an_old_name_in_the_file_sets_the_renamed_setting_with_a_warning(
    load: Load, section: str, old: str, new: str
) -> None:
    settings = load(toml=f"[development.{section}]\n{old} = 20\n")
    assert getattr(getattr(settings, section), new) == 20
    assert cautions(settings) == (
        (
            f"{section}.{old} (from settings.toml [development]) was renamed to {section}.{new};"
            " the next release rejects the old name"
        ),
    )


@pytest.mark.parametrize(("section", "old", "new"), RENAMES)
def test_an_old_variable_sets_the_renamed_setting_with_a_warning(
    load: Load, section: str, old: str, new: str
) -> None:
    variable, renamed = (f"USERAUTH_{section}__{name}".upper() for name in (old, new))
    settings = load({variable: "20"})
    assert getattr(getattr(settings, section), new) == 20
    assert cautions(settings) == (
        f"{variable} was renamed to {renamed}; the next release rejects the old name",
    )


@pytest.mark.parametrize(("section", "old", "new"), RENAMES)
def test_the_settings_file_of_the_last_release_is_accepted(
    file: Path, section: str, old: str, new: str
) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(rf"^{new} ", f"{old} ", text, flags=re.MULTILINE), encoding="utf-8")
    settings, shipped = load_settings({}, file), load_settings({}, SHIPPED)
    assert getattr(settings, section) == getattr(shipped, section)
    assert f"{section}.{old} (from settings.toml [default]) was" in cautions(settings)[0]
    assert cautions(shipped) == ()


def test_an_old_name_in_a_profile_overrides_the_new_name_in_the_default(load: Load) -> None:
    settings = load(PRODUCTION, "[production.throttle]\nmost_in_a_row = 30\n")
    assert settings.throttle.max_consecutive_failures == 30


def test_a_new_name_in_a_profile_overrides_the_old_name_in_the_default(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    text = text.replace("\nmax_consecutive_failures ", "\nmost_in_a_row ")
    text += "[development.throttle]\nmax_consecutive_failures = 30\n"
    file.write_text(text, encoding="utf-8")
    assert load_settings({}, file).throttle.max_consecutive_failures == 30


def test_an_old_and_a_new_name_in_one_table_must_agree(load: Load, faults: Faults) -> None:
    table = "[development.server]\ndrain_delay_seconds = 5\nquiet_seconds = "
    assert load(toml=f"{table}5\n").server.drain_delay_seconds == 5
    assert faults(toml=f"{table}6\n") == (
        (
            "server.quiet_seconds and server.drain_delay_seconds"
            " (from settings.toml [development]) differ: set only the second"
        ),
    )


def test_an_old_and_a_new_variable_must_agree(load: Load, faults: Faults) -> None:
    new = {"USERAUTH_SERVER__DRAIN_DELAY_SECONDS": "5"}
    assert load(new | {"USERAUTH_SERVER__QUIET_SECONDS": "5"}).server.drain_delay_seconds == 5
    assert faults(new | {"USERAUTH_SERVER__QUIET_SECONDS": "6"}) == (
        (
            "USERAUTH_SERVER__DRAIN_DELAY_SECONDS and USERAUTH_SERVER__QUIET_SECONDS differ:"
            " set only one of them"
        ),
    )


def test_a_fault_in_a_value_with_an_old_name_gives_that_name(faults: Faults) -> None:
    (fault,) = faults(toml='[development.server]\nquiet_seconds = "x"\n')
    assert fault == (
        'server.drain_delay_seconds = "x" (from settings.toml [development] as quiet_seconds):'
        " must be a number of at least 0 and at most 60"
    )
    (fault,) = faults({"USERAUTH_SERVER__QUIET_SECONDS": "x"})
    assert "(from USERAUTH_SERVER__QUIET_SECONDS): must be a number" in fault


def test_a_value_in_place_of_a_table_with_renamed_settings_is_one_fault(faults: Faults) -> None:
    assert faults(toml="[development]\nserver = 5\n") == (
        "server (from settings.toml [development]): must be a table",
    )


# Files that cannot be read


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[default]\nx = \n", "Invalid value (at line 2, column 5)"),
        (b"[default]\n[default]\n", "(at line 2, column 9)"),
        (b"# fine\n\n# caf\xe9\n", "must be UTF-8 (at line 3)"),
    ],
)
def test_a_broken_file_is_one_fault_with_its_line(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings({"PORT": "x"}, file)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{file}: ")
    assert fault.endswith(reason)


def test_a_missing_or_unreadable_file_is_one_fault(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path / "none.toml", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ]:
        with pytest.raises(SettingsError) as caught:
            load_settings({}, path)
        assert caught.value.faults == (f"{path}: {reason}",)


# Faults and secrets


def test_all_faults_are_reported_at_once(faults: Faults) -> None:
    environ = {
        "APP_SETTINGS": "production",
        "PORT": "x",
        "SECRET_KEYS": "short",
        "USERAUTH_DATABASE__POOL_MAX": "0",
        "USERAUTH_PASSWORDS__BCRYPT_COST": "4",
        "USERAUTH_NO__SUCH": "x",
    }
    reported = faults(environ, "[production.limits]\nmax_body_byte = 5\n[stagin]\n")
    assert [fault.split()[0] for fault in reported] == [
        "stagin",
        "USERAUTH_NO__SUCH",
        "limits.max_body_byte",
        "server.port",
        "server.require_https",
        "database.url",
        "database.pool_max",
        "tokens.keys",
        "passwords.bcrypt_cost",
    ]


def test_a_fault_is_reported_once(faults: Faults) -> None:
    assert len(faults(toml='[default.databases]\nurl = "x"\n')) == 1


def test_the_text_of_the_error_is_its_faults(load: Load) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"PORT": "x", "USERAUTH_NO__SUCH": "x"})
    assert str(caught.value) == "\n".join(caught.value.faults)


def test_a_fault_is_one_printable_line_whatever_names_and_values_contain(
    faults: Faults,
) -> None:
    reported = faults(
        {"HOST": "", "PORT": "a\nb\u2028c\x1b[31m", "USERAUTH__\n\udc80": "x"},
        '[development.server]\n"a\\nb" = 1\n',
    )
    assert len(reported) == 3
    assert all(fault.isprintable() for fault in reported)


def test_secrets_are_masked_in_the_settings(load: Load) -> None:
    url = f"postgresql://user:{SECRET}@db.example/users"
    settings = load({"DATABASE_URL": url, "SECRET_KEYS": f"{NEW_KEY},{OLD_KEY}"})
    for text in (repr(settings), str(settings), settings.model_dump_json(), f"{settings.tokens}"):
        assert not any(secret in text for secret in (SECRET, NEW_KEY, OLD_KEY))


def test_an_error_keeps_no_secret(load: Load) -> None:
    url = f"postgresql://user:{SECRET}@one,two/users"
    toml = f'[development.tokens]\nkeys = ["{SECRET}"]\n[testing.tokens]\nkey = "{SECRET}"\n'
    with pytest.raises(SettingsError) as caught:
        load({"DATABASE_URL": url, "USERAUTH_TOKENS__KEY": SECRET}, toml)
    assert caught.value.__context__ is None
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert len(caught.value.faults) == 4


def test_settings_are_frozen(load: Load) -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.server.port = 1
    with pytest.raises(ValidationError):
        settings.server = settings.server

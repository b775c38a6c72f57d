"""What production requires: a database, keys, HTTPS, encrypted connections."""

from pathlib import Path

import pytest

from tests.harness.settings_files import PRODUCTION, SECRET, Faults, Load


def test_production_without_database_and_keys_names_the_variables_to_set(faults: Faults) -> None:
    reported = faults({"APP_SETTINGS": "production"})
    assert reported[0].startswith("server.require_https")
    assert reported[1:] == (
        (
            'database.url = "" (from settings.toml [default]): '
            "set DATABASE_URL=postgresql://… or DATABASE_URL=embedded (not in the container image)"
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
        "localhost,db.example/users",
        "127.0.0.1,[2001:db8::1]:5433/users?target_session_attrs=read-write",
        "localhost,localhost/users?hostaddr=127.0.0.1,10.0.0.5",
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
        "one.example,two.example/users?sslmode=verify-full",
        "localhost,127.0.0.1:5433/users",
        "/users?host=/var/run/postgresql",
        "%2Fvar%2Frun%2Fpostgresql/users",
        "db.example/users?hostaddr=127.0.0.1",
    ],
)
def test_production_accepts_a_database_connection_that_is_encrypted_local_or_explicitly_unencrypted(
    load: Load, url: str
) -> None:
    load(PRODUCTION | {"DATABASE_URL": IN_THE_OPEN + url})

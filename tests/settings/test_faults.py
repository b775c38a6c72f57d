"""How faults are reported, and that they show no secret."""

import pytest
from pydantic import ValidationError

from settings import SettingsError
from tests.harness.settings_files import NEW_KEY, OLD_KEY, SECRET, Faults, Load


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
    url = f"postgresql://user:{SECRET}@one,,two/users"
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

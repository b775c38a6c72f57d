"""Settings from environment variables and credentials of systemd."""

import os
from pathlib import Path

import pytest

from settings import VARIABLES, load_settings
from tests.harness.settings_files import NEW_KEY, OLD_KEY, SECRET, SHIPPED, Faults, Load


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


@pytest.mark.parametrize("variable", ["USERAUTH_XYZ__ABC", "USERAUTH_Q7Z4__K"])
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

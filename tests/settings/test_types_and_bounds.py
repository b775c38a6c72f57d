"""Types and bounds of settings."""

import json
from pathlib import Path

import pytest

from settings import FIELDS, VARIABLES, load_settings
from tests.harness.settings_files import NEW_KEY, Faults, Load

TITLE = "a text of 1 to 100 characters, without control characters"


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
    "variable",
    [name for name, (section, key) in VARIABLES.items() if FIELDS[section][key].annotation is int],
)
def test_a_whole_number_is_decimal_digits_and_no_other_spelling(
    faults: Faults, variable: str
) -> None:
    section, key = VARIABLES[variable]
    for text in ("1_0", "10.0", "1e1", "0x10", "1 0", "\u0661", "ten"):
        (fault,) = faults({variable: text})
        assert fault.startswith(f"{section}.{key} = {json.dumps(text)} (from {variable}): must be ")


@pytest.mark.parametrize("text", ["8080", "08080", "+8080", " 8080 "])
def test_a_whole_number_may_have_a_sign_leading_zeros_and_white_space(
    load: Load, text: str
) -> None:
    assert load({"PORT": text}).server.port == 8080


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
        ("pages", "title = 5", TITLE),
        ("pages", 'title = ""', TITLE),
        ("pages", f'title = "{101 * "x"}"', TITLE),
        ("pages", 'title = "a\\nb"', TITLE),
        ("pages", 'title = "\\u0085"', TITLE),
        ("pages", 'links = ["a\\u0000=/"]', "a list of links without control characters"),
        ("pages", "color = 5", "a color such as #1d4ed8"),
    ],
)
def test_a_value_in_the_file_has_its_toml_type(
    faults: Faults, section: str, assignment: str, wanted: str
) -> None:
    (fault,) = faults(toml=f"[development.{section}]\n{assignment}\n")
    key = assignment.split(maxsplit=1)[0]
    assert fault.startswith(f"{section}.{key} = ")
    assert fault.endswith(f" (from settings.toml [development]): must be {wanted}")


@pytest.mark.parametrize(
    ("section", "key"), [(section, key) for section, keys in FIELDS.items() for key in keys]
)
def test_the_fault_of_a_value_of_the_wrong_type_names_what_the_setting_wants(
    faults: Faults, section: str, key: str
) -> None:
    # The shipped file has some sections of this profile, and TOML permits each only once.
    profile = "testing" if section == "mail" else "development"
    (fault,) = faults(toml=f"[{profile}.{section}]\n{key} = 1979-05-27\n")
    assert f"(from settings.toml [{profile}]): must be " in fault


def test_the_fault_of_a_text_that_is_not_utf_8_says_so(faults: Faults) -> None:
    (fault,) = faults({"USERAUTH_PAGES__TITLE": "caf\udce9"})
    assert fault.endswith("(from USERAUTH_PAGES__TITLE): must be UTF-8")


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

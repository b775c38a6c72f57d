"""Faults in the settings file: unknown names, missing defaults, unreadable files."""

import re
from pathlib import Path

import pytest

from settings import SettingsError, load_settings
from tests.harness.settings_files import SECRET, SHIPPED, Faults


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
            "unknown; the known names are host, port, processes, instance, reuse_port, public_url, "
            "drain_delay_seconds, drain_seconds, lag_warning_seconds, trusted_proxies, "
            "certificate, private_key, require_https"
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
    others = re.sub(r"(?s)\[development\..*?(?=\[testing)", "", SHIPPED.read_text("utf-8"))
    file.write_text(f'development = "{SECRET}"\n{others}', encoding="utf-8")
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


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[default]\nx = \n", "Invalid value (at line 2, column 5)"),
        (b"[default]\n[default]\n", "(at line 2, column 9)"),
        (b"# fine\n\n# caf\xe9\n", "must be UTF-8 (at line 3)"),
        (b"x = " + 5000 * b"[", "it is nested too deeply"),
        (b"x = " + 5000 * b"{a=", "it is nested too deeply"),
    ],
)
def test_a_broken_file_is_one_fault_with_its_line(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings({"PORT": "x"}, file)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{file}: ")
    assert fault.endswith(reason)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("origins.a = 1", "(a table)"),
        ('origins = [["x"]]', "(a nested list)"),
        ('origins = ["x", {a.a = 1}]', "(a nested list)"),
    ],
)
def test_tables_and_nested_lists_are_named_and_not_shown(
    faults: Faults, value: str, shown: str
) -> None:
    assert faults(toml=f"[testing.cors]\n{value}\n") == (
        f"cors.origins = {shown} (from settings.toml [testing]): must be a list of origins",
    )


@pytest.mark.parametrize("value", ["origins.{} = 1", 'origins = ["x", {{{} = 1}}]'])
def test_tables_that_dotted_keys_nest_are_one_short_fault(faults: Faults, value: str) -> None:
    nested = value.format(".".join(5000 * "a"))
    (fault,) = faults(toml=f"[testing.cors]\n{nested}\n")
    # From Python 3.14 on, the parser of TOML has a limit of its own.
    assert fault.endswith(("must be a list of origins", "it is nested too deeply"))
    assert len(fault) < 300


def test_a_missing_or_unreadable_file_is_one_fault(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path / "none.toml", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ]:
        with pytest.raises(SettingsError) as caught:
            load_settings({}, path)
        assert caught.value.faults == (f"{path}: {reason}",)

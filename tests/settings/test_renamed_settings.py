"""Settings under the names of an earlier release."""

import re
from pathlib import Path

import pytest

from settings import load_settings
from settings.cautions import cautions
from tests.harness.settings_files import PRODUCTION, SHIPPED, Faults, Load

RENAMES = [
    ("server", "quiet_seconds", "drain_delay_seconds"),
    ("passwords", "most_per_account", "max_per_account"),
    ("throttle", "most_in_a_row", "max_consecutive_failures"),
]


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

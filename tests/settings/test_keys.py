"""The signing keys and the pepper."""

import pytest

from tests.harness.settings_files import NEW_KEY, OLD_KEY, PRODUCTION, SECRET, Faults, Load

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

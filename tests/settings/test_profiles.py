"""The profiles: which one is chosen, and what each has of its own."""

import pytest

from settings import Profile
from tests.harness.settings_files import PRODUCTION, Faults, Load


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

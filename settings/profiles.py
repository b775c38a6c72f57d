"""The profiles of the server, with their names in APP_SETTINGS."""

from enum import StrEnum


class Profile(StrEnum):
    """The environment that the server runs in."""

    DEVELOPMENT = "development"
    TESTING = "testing"
    PRODUCTION = "production"


PROFILES = {profile.value: profile for profile in Profile} | {
    "config.DevelopmentConfig": Profile.DEVELOPMENT,
    "config.TestingConfig": Profile.TESTING,
    "config.ProductionConfig": Profile.PRODUCTION,
    "config.StagingConfig": Profile.PRODUCTION,
}
# The tables of settings.toml.
TABLES = ("default", *Profile)

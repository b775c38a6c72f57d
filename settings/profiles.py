"""The profiles of the server, and the names by which APP_SETTINGS chooses them."""

from enum import StrEnum


class Profile(StrEnum):
    """What the server runs as."""

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

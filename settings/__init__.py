"""The settings, read into one frozen, typed object."""

from settings.model import (
    FIELDS,
    HOW_TO_MAKE_A_KEY,
    VARIABLES,
    Profile,
    Settings,
    SettingsError,
    load_settings,
)

__all__ = [
    "FIELDS",
    "HOW_TO_MAKE_A_KEY",
    "VARIABLES",
    "Profile",
    "Settings",
    "SettingsError",
    "load_settings",
]

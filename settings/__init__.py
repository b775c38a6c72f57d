"""The settings, loaded into one frozen, typed object."""

from settings.checks import HOW_TO_MAKE_A_KEY
from settings.faults import SettingsError
from settings.load import load_settings
from settings.model import FIELDS, VARIABLES, Settings
from settings.profiles import Profile

__all__ = [
    "FIELDS",
    "HOW_TO_MAKE_A_KEY",
    "VARIABLES",
    "Profile",
    "Settings",
    "SettingsError",
    "load_settings",
]

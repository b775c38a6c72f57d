"""Renamed settings.

The old name is accepted for one release, with a warning. If the old and the new name are both
set in one table, or both as variables, they must agree.
"""

from collections.abc import Mapping
from typing import Any

from settings.faults import Layer

# Old section and key, and the new key in that section.
RENAMED: Mapping[tuple[str, str], str] = {
    ("passwords", "most_per_account"): "max_per_account",
    ("server", "quiet_seconds"): "drain_delay_seconds",
    ("throttle", "most_in_a_row"): "max_consecutive_failures",
}
OLD_VARIABLES = {
    f"USERAUTH_{section}__{old}".upper(): (section, new) for (section, old), new in RENAMED.items()
}


def split_renamed(
    origin: str, table: Mapping[str, Any]
) -> tuple[list[Layer], list[str], list[str]]:
    """Return a table of settings.toml as layers, the warnings about old names, and the faults.

    Values with an old name become separate layers, so that a fault names the old name.
    """
    sections = {name: dict(v) if isinstance(v, dict) else v for name, v in table.items()}
    layers: list[Layer] = [(origin, sections)]
    warnings, faults = [], []
    for (section, old), new in RENAMED.items():
        keys = sections.get(section)
        if not isinstance(keys, dict) or old not in keys:
            continue
        value = keys.pop(old)
        if keys.get(new, value) != value:
            faults.append(
                f"{section}.{old} and {section}.{new} (from {origin}) differ: set only the second"
            )
        layers.append((f"{origin} as {old}", {section: {new: value}}))
        warnings.append(_warning(f"{section}.{old} (from {origin})", f"{section}.{new}"))
    return layers, warnings, faults


def warn_of_variable(name: str) -> str:
    """Return the warning about a variable with an old name."""
    section, key = OLD_VARIABLES[name]
    return _warning(name, f"USERAUTH_{section}__{key}".upper())


def _warning(old: str, new: str) -> str:
    return f"{old} was renamed to {new}; the next release rejects the old name"

"""Names of environment variables: settings, and faults in similar names."""

import re
from collections.abc import Iterable

from settings.faults import unknown
from settings.model import VARIABLES
from settings.renamed import OLD_VARIABLES

PREFIX = "USERAUTH_"
_KNOWN = frozenset(VARIABLES) | frozenset(OLD_VARIABLES) | {"APP_SETTINGS"}
# The names with one underscore where a setting has two.
_SLIPS = {name.replace("__", "_"): name for name in VARIABLES if name.startswith(PREFIX)}
# Kubernetes sets these in each pod for a service named userauth, or userauth-…
_SERVICE_LINK = re.compile(
    r"USERAUTH_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?"
    r"|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://.*")
# Names that other programs set in lower case.
_GENERIC = frozenset({"HOST", "PORT"})


def fault_of_name(name: str, text: str) -> str | None:
    """Return the fault of a variable that is not a setting, or None if it may be ignored.

    Settings have two underscores after their section. A name that lacks one of them is a fault.
    """
    if not name.startswith(PREFIX) or _is_service_link(name, text):
        return None
    origin = f"{name} (from the environment)"
    if "__" in name:
        return f"{origin}: {unknown(name, VARIABLES, elsewhere='docs/settings.md lists them')}"
    if name in _SLIPS:
        return f"{origin}: unknown; did you mean {_SLIPS[name]}?"
    return None


def find_warnings(names: Iterable[tuple[str, str]]) -> list[str]:
    """Return warnings about variables, given with their texts, that only look like settings."""
    warnings = []
    for name, text in names:
        capital = name.upper()
        if name in _KNOWN:
            continue
        if capital != name and capital in _KNOWN - _GENERIC:
            warnings.append(f"{name} is ignored: the name of the variable is {capital}")
        elif name.startswith(PREFIX) and "__" not in name and not _is_service_link(name, text):
            shown = name if name.isprintable() else ascii(name)[1:-1]
            warnings.append(f"{shown} is ignored: it is not a setting")
    return warnings


def _is_service_link(name: str, text: str) -> bool:
    if _SERVICE_LINK.fullmatch(name):
        return True
    return name.endswith("_PORT") and "__" not in name and bool(_SERVICE_URL.fullmatch(text))

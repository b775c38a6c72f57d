"""The browser and the operating system that a User-Agent names, with their usual names.

The field may contain anything, so this is a description, never a proof. The order matters: most
browsers also name the browsers that they are compatible with.
"""

import re

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_PRODUCT = re.compile(r"[A-Za-z][\w.-]{0,39}(?=[/ ]|$)")


def describe_user_agent(user_agent: str) -> tuple[str, str]:
    """Return the program and the system; either is empty if it is not known."""
    system = _first(_SYSTEMS, user_agent)
    if user_agent.startswith("Mozilla/"):
        return _first(_BROWSERS, user_agent), system
    product = _PRODUCT.match(user_agent)
    return product[0] if product else "", system


def _first(known: tuple[tuple[str, str], ...], user_agent: str) -> str:
    return next((name for mark, name in known if mark in user_agent), "")

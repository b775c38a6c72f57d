"""The environment of a developer: which parts must not reach programs and servers under test."""

import os
import re
from collections.abc import Mapping, MutableMapping

_UNWANTED = re.compile(
    # Settings of the server, what systemd passes to it, and who ran sudo. SUDO_UID stays: git uses
    # it to trust a checkout of the user who ran sudo.
    r"_?USERAUTH_.*|APP_SETTINGS|DATABASE_URL|SECRET_KEYS|PASSWORD_PEPPER|HOST|PORT"
    r"|(LISTEN|WATCHDOG|OTEL)_.*|NOTIFY_SOCKET|CREDENTIALS_DIRECTORY|SUDO_USER"
    # Settings of other programs, and the repository whose hook runs the tests. Git's configuration
    # files stay: they may say to trust the checkout.
    r"|PG.*|(ETCD|PATRONI|SYSTEMD)_.*|GIT_(?!CONFIG_(GLOBAL|SYSTEM)$).*|NODE_(OPTIONS|PATH)"
    r"|PYTEST_ADDOPTS|PYTHON(ASYNCIODEBUG|DEVMODE|INSPECT|IOENCODING|OPTIMIZE|SAFEPATH|WARNINGS)"
    r"|MAKE(FILES|FLAGS|LEVEL|OVERRIDES)|MFLAGS|XDG_DATA_HOME"
    # What shells execute at their start, and how they behave.
    r"|BASH_FUNC_.*|BASH_ENV|BASHOPTS|SHELLOPTS|CDPATH|POSIXLY_CORRECT"
    # The form and the language of output.
    r"|(FORCE|NO)_COLOR|(PY|PYTHON)_COLORS|CLICOLOR(_FORCE)?|COLUMNS|LINES|LC_.*|LANGUAGE"
)
# Unwanted as well, except by what downloads something: proxies, and the directory with the settings
# of pip, npm and git. The workers of pytest-xdist inherit them under other names.
_FOR_DOWNLOADS = re.compile(r"[a-z]+_proxy|XDG_CONFIG_HOME", re.IGNORECASE)
_KEPT = "TEST_DOWNLOADS_"


def is_unwanted(name: str) -> bool:
    """Return whether a variable changes what programs and servers do."""
    return (_UNWANTED.fullmatch(name) or _FOR_DOWNLOADS.fullmatch(name)) is not None


def remove_unwanted(environ: MutableMapping[str, str]) -> None:
    """Remove the variables that change what programs do; keep some for ``for_downloads``."""
    for name in filter(is_unwanted, list(environ)):
        value = environ.pop(name)
        if _FOR_DOWNLOADS.fullmatch(name):
            environ[_KEPT + name] = value
    environ["LANG"] = "C.UTF-8"


def for_downloads(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the removed variables that a program needs to download something."""
    return {
        name.removeprefix(_KEPT): value for name, value in environ.items() if name.startswith(_KEPT)
    }

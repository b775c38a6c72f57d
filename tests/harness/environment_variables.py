"""The environment of a developer: what of it must not reach programs and servers under test."""

import os
import re
from collections.abc import Mapping, MutableMapping

_UNWANTED = re.compile(
    # Settings of the server, what systemd passes to it, and who ran sudo. Not SUDO_UID: by it, git
    # trusts a checkout of the user who ran sudo.
    r"_?USERAUTH_.*|APP_SETTINGS|DATABASE_URL|SECRET_KEYS|PASSWORD_PEPPER|HOST|PORT"
    r"|(LISTEN|WATCHDOG|OTEL)_.*|NOTIFY_SOCKET|CREDENTIALS_DIRECTORY|SUDO_USER"
    # Settings of other programs, and the repository whose hook runs the tests.
    r"|PG.*|(ETCD|PATRONI|SYSTEMD)_.*|GIT_(DIR|WORK_TREE|INDEX_FILE|PREFIX)|NODE_(OPTIONS|PATH)"
    r"|PYTEST_ADDOPTS|PYTHON(ASYNCIODEBUG|DEVMODE|INSPECT|IOENCODING|OPTIMIZE|SAFEPATH|WARNINGS)"
    r"|MAKE(FILES|FLAGS|LEVEL|OVERRIDES)|MFLAGS|XDG_(CONFIG|DATA)_HOME"
    # What shells execute at their start, and how they behave.
    r"|BASH_FUNC_.*|BASH_ENV|BASHOPTS|SHELLOPTS|CDPATH|POSIXLY_CORRECT"
    # The form and the language of output.
    r"|(FORCE|NO)_COLOR|(PY|PYTHON)_COLORS|CLICOLOR(_FORCE)?|COLUMNS|LINES|LC_.*|LANGUAGE"
)
_PROXY = re.compile(r"[a-z]+_proxy", re.IGNORECASE)
# The workers of pytest-xdist inherit proxies under other names.
_KEPT = "TEST_DOWNLOADS_"


def is_unwanted(name: str) -> bool:
    """Return whether a variable changes what programs and servers do."""
    return (_UNWANTED.fullmatch(name) or _PROXY.fullmatch(name)) is not None


def remove_unwanted(environ: MutableMapping[str, str]) -> None:
    """Remove the variables that change what programs do; keep proxies for ``proxies``."""
    for name in filter(is_unwanted, list(environ)):
        value = environ.pop(name)
        if _PROXY.fullmatch(name):
            environ[_KEPT + name] = value
    environ["LANG"] = "C.UTF-8"


def proxies(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the removed variables that a program needs to download something."""
    return {
        name.removeprefix(_KEPT): value for name, value in environ.items() if name.startswith(_KEPT)
    }

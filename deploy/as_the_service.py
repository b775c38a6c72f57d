"""Run a command with the settings, the secrets and the user of the service.

    .venv/bin/python -I deploy/as_the_service.py COMMAND …

Nothing of the caller's environment goes along but its terminal, its language, and for whom sudo
runs it, which the audit trail tells; settings in it are refused, for whoever set them means them to
count. What a drop-in of the unit says is not seen.
With DESTDIR=/some/folder it is an installation there, and no other user.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_FROM_CALLER = ("TERM", "LANG", "LC_ALL", "SUDO_USER", "SUDO_UID")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_AS_USER = ["setpriv", "--reuid=userauth", "--regid=userauth", "--init-groups", "--no-new-privs"]
_SETTING = re.compile(r"USERAUTH_|(APP_SETTINGS|DATABASE_URL|SECRET_KEYS|PASSWORD_PEPPER)$")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


def main(command: Sequence[str], environ: Mapping[str, str]) -> None:
    """Become the command; raises OSError where that cannot be, SystemExit as said above."""
    ours = sorted(name for name in environ if _SETTING.match(name))
    if ours:
        sys.exit(
            f"{ours[0]} of the shell does not count here: unset it; settings are in /etc/userauth"
        )
    root = environ.get("DESTDIR", "")
    settings = Path(f"{root}/etc/userauth")
    data = f"{root}/var/lib/userauth"
    variables = {
        **{name: environ[name] for name in _FROM_CALLER if name in environ},
        "PATH": _PATH,
        "HOME": data,
        "PYTHONDONTWRITEBYTECODE": "1",
        "APP_SETTINGS": "production",
        "USERAUTH_DATABASE__EMBEDDED_DIR": f"{data}/postgres",
        **read_variables((settings / "environment").read_text(encoding="utf-8")),
        "CREDENTIALS_DIRECTORY": str(settings / "credentials"),
    }
    whole = [*([] if root else _AS_USER), *command]
    os.execvpe(whole[0], whole, variables)  # noqa: S606 - what the caller names is run


def read_variables(text: str) -> dict[str, str]:
    """Read what systemd reads of an EnvironmentFile=: values of one line, without backslashes."""
    variables = {}
    for line in text.splitlines():
        found = _VARIABLE.fullmatch(line.strip())
        if found:
            name, value = found.groups()
            is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            variables[name] = value[1:-1] if is_quoted else value
    return variables


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)

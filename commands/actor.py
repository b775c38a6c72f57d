"""The system account that runs a command, for the audit trail."""

import os
import pwd
import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?")


def find_actor(environ: Mapping[str, str]) -> str:
    """Return the account of this process, and the one that ran sudo, if any.

    The operating system guarantees the account. The caller can set sudo's variables, so they are
    added to the account and never replace it.
    """
    uid = os.getuid()
    caller, number = environ.get("SUDO_USER", ""), environ.get("SUDO_UID", "")
    if not _NAME.fullmatch(caller):
        return _account(uid)
    shown = f" ({number})" if number.isascii() and number.isdecimal() else ""
    return f"{_account(uid)} for {caller}{shown}"


def _account(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return f"({uid})"

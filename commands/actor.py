"""Which person runs a command, as far as the system tells."""

import os
import pwd
import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?")


def find_actor(environ: Mapping[str, str]) -> str:
    """Return the account that this process belongs to, and for whom sudo made it so, if it did.

    The account is the system's word. What sudo leaves in the environment is not, to whoever may
    choose that: so it stands beside the account, never in its place.
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

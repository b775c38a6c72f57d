"""The settings that all servers on one database must share, as digests that reveal no secret."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

from pydantic_core import to_jsonable_python

from rules.tokens import key_id
from settings import Settings

# What each process may have of its own: limits of its work, and secrets, which have digests below.
_OWN = {
    "tokens": {"keys", "keys_file"},
    "passwords": {"pepper", "workers", "max_wait_seconds", "max_per_account", "remember_seconds"},
    "mail": {"url", "per_minute"},
    "throttle": {"hashes_per_minute", "writes_per_minute"},
}
_SHARED = ("tokens", "sessions", "passwords", "registration", "mail", "throttle", "audit")
_BYTES = 8


def shared_digests(settings: Settings, keys: Sequence[str]) -> Mapping[str, str]:
    """Return a digest of each section that all servers must share, of the keys and the peppers.

    The digest of the peppers is keyed by the newest signing key: without it, guesses of a pepper
    cannot be tested. The id of that key precedes it, since it is comparable only under one key.
    """
    sections = {
        f"[{name}]": _digest(getattr(settings, name).model_dump(exclude=_OWN.get(name)))
        for name in _SHARED
    }
    peppers = [pepper.get_secret_value() for pepper in settings.passwords.pepper]
    keyed = hmac.digest(keys[0].encode(), _text(["userauth.peppers", *peppers]), "sha256")
    return {
        **sections,
        "tokens.keys": " ".join(map(key_id, keys)),
        "passwords.pepper": f"{key_id(keys[0])}:{keyed[:_BYTES].hex()}",
    }


def _digest(values: object) -> str:
    return hashlib.sha256(_text(values)).digest()[:_BYTES].hex()


def _text(values: object) -> bytes:
    return json.dumps(to_jsonable_python(values), sort_keys=True).encode()

"""The settings that all servers on one database must share, as digests that reveal no secret."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from pydantic_core import to_jsonable_python

from rules.password_scheme import pepper_id
from rules.tokens import key_id
from settings import Settings

# The settings that may differ: limits of each process, and secrets, whose ids are compared below.
_OWN = {
    "tokens": {"keys", "keys_file"},
    "passwords": {"pepper", "workers", "max_wait_seconds", "max_per_account", "remember_seconds"},
    "mail": {"url", "per_minute"},
    "throttle": {"hashes_per_minute", "writes_per_minute"},
}
_SHARED = ("tokens", "sessions", "passwords", "registration", "mail", "throttle", "audit")
_BYTES = 8


def shared_digests(settings: Settings, keys: Sequence[str]) -> Mapping[str, str]:
    """Return a digest of each setting that all servers must share, and the ids of the secrets.

    The ids are those in the rows of tokens and in the hashes of passwords.
    """
    values = {
        f"{section}.{name}": _digest(value)
        for section in _SHARED
        for name, value in getattr(settings, section).model_dump(exclude=_OWN.get(section)).items()
    }
    peppers = [pepper.get_secret_value() for pepper in settings.passwords.pepper]
    return {
        **values,
        "tokens.keys": " ".join(map(key_id, keys)),
        "passwords.pepper": " ".join(map(pepper_id, peppers)),
    }


def _digest(value: object) -> str:
    text = json.dumps(to_jsonable_python(value), sort_keys=True)
    return hashlib.sha256(text.encode()).digest()[:_BYTES].hex()

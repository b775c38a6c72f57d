"""Users of other services: files of records, and password hashes made by their libraries."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import argon2
import bcrypt
import passlib.hash
from django.contrib.auth import hashers as django
from werkzeug.security import generate_password_hash

from tests.harness.api import PASSWORD

Maker = Callable[[str], str]


SALT = "OZIAyGKPDmn2"


CHEAP_ARGON2: dict[str, Any] = {"time_cost": 1, "memory_cost": 64, "parallelism": 1}


class CheapDjangoArgon2(django.Argon2PasswordHasher):  # type: ignore[misc]
    time_cost = 1
    memory_cost = 64
    parallelism = 1


def by_bcrypt(password: str, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, prefix=prefix)).decode()


def by_bcrypt_2a(password: str) -> str:
    return by_bcrypt(password, b"2a")


def by_bcrypt_2y(password: str) -> str:
    return by_bcrypt(password).replace("$2b$", "$2y$")  # PHP's name for it


def by_werkzeug(method: str) -> Maker:
    return lambda password: generate_password_hash(password, method)


def by_django(hasher: Any, **parameters: int) -> Maker:
    return lambda password: str(hasher.encode(password, SALT, **parameters))


def by_django_bcrypt(hasher: Any) -> Maker:
    return lambda password: str(hasher.encode(password, bcrypt.gensalt(4)))


def by_passlib(handler: Any, **parameters: Any) -> Maker:
    return lambda password: str(handler.using(**parameters).hash(password))


def by_argon2(kind: argon2.Type) -> Maker:
    return argon2.PasswordHasher(**CHEAP_ARGON2, type=kind).hash


def by_old_argon2(password: str) -> str:
    parameters = {**CHEAP_ARGON2, "hash_len": 32, "type": argon2.Type.I, "version": 16}
    secret = argon2.low_level.hash_secret(password.encode(), SALT.encode(), **parameters)
    return secret.decode().replace("v=16$", "")  # early versions were not written


def by_kratos(password: str) -> str:
    salt = b"a salt of Kratos, of 32 bytes .."
    key = hashlib.scrypt(password.encode(), salt=salt, n=1024, r=8, p=1, dklen=32)
    parts = (base64.b64encode(part).decode() for part in (salt, key))
    return "$scrypt$ln=1024,r=8,p=1$" + "$".join(parts)


MAKERS: dict[str, Maker] = {
    "bcrypt 2a": by_bcrypt_2a,
    "bcrypt 2b": by_bcrypt,
    "bcrypt 2y": by_bcrypt_2y,
    "werkzeug scrypt": by_werkzeug("scrypt:1024:8:1"),
    "werkzeug scrypt, lowest N": by_werkzeug("scrypt:128:8:1"),
    "werkzeug scrypt, highest p": by_werkzeug("scrypt:128:8:16"),
    "werkzeug sha1": by_werkzeug("pbkdf2:sha1:10"),
    "werkzeug sha256": by_werkzeug("pbkdf2:sha256:10"),
    "werkzeug sha512": by_werkzeug("pbkdf2:sha512:10"),
    "django pbkdf2_sha256": by_django(django.PBKDF2PasswordHasher(), iterations=10),
    "django pbkdf2_sha1": by_django(django.PBKDF2SHA1PasswordHasher(), iterations=10),
    "django scrypt": by_django(django.ScryptPasswordHasher(), n=1024, r=4, p=2),
    "django argon2": by_django(CheapDjangoArgon2()),
    "django bcrypt_sha256": by_django_bcrypt(django.BCryptSHA256PasswordHasher()),
    "django bcrypt": by_django_bcrypt(django.BCryptPasswordHasher()),
    "passlib bcrypt": by_passlib(passlib.hash.bcrypt, rounds=4),
    "passlib bcrypt_sha256": by_passlib(passlib.hash.bcrypt_sha256, rounds=4),
    "passlib bcrypt_sha256 v1": by_passlib(passlib.hash.bcrypt_sha256, rounds=4, version=1),
    "passlib bcrypt_sha256 v1 2a": by_passlib(
        passlib.hash.bcrypt_sha256, rounds=4, version=1, ident="2a"
    ),
    "passlib scrypt": by_passlib(passlib.hash.scrypt, rounds=10),
    "passlib argon2": by_passlib(passlib.hash.argon2, **CHEAP_ARGON2),
    "kratos scrypt": by_kratos,
    "argon2id": by_argon2(argon2.Type.ID),
    "argon2i": by_argon2(argon2.Type.I),
    "argon2i without a version": by_old_argon2,
}


HASH = MAKERS["bcrypt 2b"](PASSWORD)


def written(file: Path, *records: object) -> str:
    """Write records as JSON Lines; return the name of the file."""
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(file)

"""Imported users, with a password hash of each scheme that the server can import.

The parameters are those in use by services and libraries today, and some cheap or expensive ones.
"""

import base64
import hashlib
from collections.abc import Callable

import argon2
import bcrypt
import passlib.hash
from werkzeug.security import generate_password_hash

PASSWORD = "the password of an imported user"  # noqa: S105
_SALT = "OZIAyGKPDmn2"


def _bcrypt(cost: int) -> str:
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(cost)).decode()


def _django_bcrypt_sha256() -> str:
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest().encode()
    return "bcrypt_sha256$" + bcrypt.hashpw(digest, bcrypt.gensalt(12)).decode()


def _django_pbkdf2(iterations: int) -> str:
    key = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), _SALT.encode(), iterations)
    return f"pbkdf2_sha256${iterations}${_SALT}${base64.b64encode(key).decode()}"


def _django_scrypt() -> str:
    key = hashlib.scrypt(
        PASSWORD.encode(), salt=_SALT.encode(), n=2**14, r=8, p=5, maxmem=2**26, dklen=64
    )
    return f"scrypt$16384${_SALT}$8$5${base64.b64encode(key).decode()}"


def _phc_scrypt(ln: int) -> str:
    return str(passlib.hash.scrypt.using(rounds=ln).hash(PASSWORD))


def _argon2(kib: int, passes: int, lanes: int) -> str:
    hasher = argon2.PasswordHasher(time_cost=passes, memory_cost=kib, parallelism=lanes)
    return hasher.hash(PASSWORD)


SCHEMES: dict[str, Callable[[], str]] = {
    "bcrypt, cost 10": lambda: _bcrypt(10),
    "bcrypt, cost 12": lambda: _bcrypt(12),
    "bcrypt_sha256 of Django": _django_bcrypt_sha256,
    "bcrypt-sha256 of passlib": lambda: str(
        passlib.hash.bcrypt_sha256.using(rounds=12).hash(PASSWORD)
    ),
    "pbkdf2 of Django, 1,000,000": lambda: _django_pbkdf2(1_000_000),
    "pbkdf2 of Werkzeug, 260,000": lambda: generate_password_hash(PASSWORD, "pbkdf2:sha256:260000"),
    "scrypt of Werkzeug": lambda: generate_password_hash(PASSWORD, "scrypt:32768:8:1"),
    "scrypt of Django": _django_scrypt,
    "scrypt in PHC form, ln=16": lambda: _phc_scrypt(16),
    "argon2id, 64 MiB": lambda: _argon2(65536, 3, 4),
    "argon2id, 19 MiB": lambda: _argon2(19456, 2, 1),
}


def email_of(scheme: str, number: int) -> str:
    """Return the email address of an imported user."""
    return f"imported-{list(SCHEMES).index(scheme)}-{number}@example.com"

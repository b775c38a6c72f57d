import base64
import secrets
import uuid
from collections.abc import Callable

import pytest

from settings.secret_strength import is_guessable

RANDOM: dict[str, Callable[[], str]] = {
    "token_urlsafe(32)": lambda: secrets.token_urlsafe(32),
    "openssl rand -hex 32": lambda: secrets.token_bytes(32).hex(),
    "openssl rand -base64 32": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
    "openssl rand -hex 16": lambda: secrets.token_bytes(16).hex(),
    "openssl rand -base64 24": lambda: base64.b64encode(secrets.token_bytes(24)).decode(),
    "base32 of 20 bytes": lambda: base64.b32encode(secrets.token_bytes(20)).decode(),
    "two UUIDs": lambda: f"{uuid.uuid4()}{uuid.uuid4()}",
    "40 digits": lambda: "".join(secrets.choice("0123456789") for _ in range(40)),
    "64 kB of base64": lambda: base64.b64encode(secrets.token_bytes(49_152)).decode(),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_no_random_key_is_guessable(kind: str) -> None:
    tries = 5 if kind.startswith("64 kB") else 5_000
    rejected = [key for key in (RANDOM[kind]() for _ in range(tries)) if is_guessable(key)]
    assert rejected == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "0" * 32,
        "x" * 4096,
        "a1" * 16,
        "ab" * 2048,
        "deadbeef" * 8,
        "0123456789abcdef" * 4,
        "abcdefghijklmnopqrstuvwxyz012345",
        "zyxwvutsrqponmlkjihgfedcba9876543210",
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "qwertyuiopasdfghjklzxcvbnm1234567890",
        "change-me-change-me-change-me-change-me",
        "change-me-change-me-change-me-32",
        "CHANGEME_CHANGEME_CHANGEME_CHANGEME_",
        "secretsecretsecretsecretsecretsecret",
        "passwordpasswordpasswordpassword",
        "p@ssw0rd-p@ssw0rd-p@ssw0rd-p@ssw0rd",
        "hunter2hunter2hunter2hunter2hunter2",
        "thisisaverysecretkeyforproduction",
        "MySuperSecretKey2024ForUserauthProd!",
        "your-256-bit-secret-goes-here-please",
        "REPLACE_WITH_A_RANDOM_STRING_OF_32_CHARS",
        "django-insecure-change-me-please-now-1",
        "userauth-production-signing-key-2026",
        "ThisIsTheSecretKeyOfOurCompany123456",
    ],
)
def test_a_key_typed_by_hand_or_copied_from_an_example_is_guessable(key: str) -> None:
    assert is_guessable(key)

"""Password hashes."""

import asyncio
import unicodedata
from collections.abc import Iterator

import bcrypt
import pytest

from auth.passwords import SCHEME, PasswordHasher


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher(cost=4, workers=2, max_wait_seconds=5)
    yield hasher
    hasher.close()


def hashed(hasher: PasswordHasher, password: str) -> str:
    return asyncio.run(hasher.hash(password))


def verified(hasher: PasswordHasher, password: str, stored: str | None) -> bool:
    return asyncio.run(hasher.verify(password, stored))


@pytest.mark.parametrize("password", ["correct horse", "", "😀" * 1024, "grüße", "a" * 72])
def test_a_password_is_verified_against_its_hash(hasher: PasswordHasher, password: str) -> None:
    stored = hashed(hasher, password)
    assert verified(hasher, password, stored)
    assert not verified(hasher, password + "x", stored)


def test_the_stored_string_names_its_scheme(hasher: PasswordHasher) -> None:
    assert hashed(hasher, "correct horse").startswith(SCHEME + "$2b$04$")


def test_nothing_behind_the_72nd_byte_is_cut_off(hasher: PasswordHasher) -> None:
    stored = hashed(hasher, "a" * 100 + "b")
    assert not verified(hasher, "a" * 100 + "c", stored)
    assert not verified(hasher, "a" * 72, stored)


def test_the_forms_of_unicode_are_the_same_password(hasher: PasswordHasher) -> None:
    composed = unicodedata.normalize("NFC", "pässwörd")
    decomposed = unicodedata.normalize("NFD", "pässwörd")
    assert composed != decomposed
    assert verified(hasher, decomposed, hashed(hasher, composed))
    assert verified(hasher, composed, hashed(hasher, decomposed))


def test_two_hashes_of_one_password_differ(hasher: PasswordHasher) -> None:
    assert hashed(hasher, "correct horse") != hashed(hasher, "correct horse")


def test_bcrypt_gets_a_condensed_password_not_the_typed_one(hasher: PasswordHasher) -> None:
    stored = hashed(hasher, "correct horse").removeprefix(SCHEME).encode()
    assert not bcrypt.checkpw(b"correct horse", stored)


def test_nobody_has_no_password(hasher: PasswordHasher) -> None:
    assert not verified(hasher, "correct horse", None)


def test_nobody_costs_a_whole_hash(hasher: PasswordHasher, checks: list[bytes]) -> None:
    verified(hasher, "correct horse", None)
    verified(hasher, "correct horse", hashed(hasher, "other"))
    assert [stored[:7] for stored in checks] == [b"$2b$04$", b"$2b$04$"]


def test_a_hash_of_another_cost_needs_to_be_renewed(hasher: PasswordHasher) -> None:
    other = PasswordHasher(cost=5, workers=1, max_wait_seconds=5)
    stored = hashed(other, "correct horse")
    other.close()
    assert hasher.needs_rehash(stored)
    assert verified(hasher, "correct horse", stored)
    assert not hasher.needs_rehash(hashed(hasher, "correct horse"))


@pytest.mark.parametrize("stored", ["", "$2b$04$abc", "$userauth-argon2$x", "plain"])
def test_a_stored_string_of_an_unknown_scheme_is_a_fault(
    hasher: PasswordHasher, stored: str
) -> None:
    with pytest.raises(ValueError, match="unknown scheme"):
        verified(hasher, "correct horse", stored)

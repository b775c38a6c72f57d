"""Password hashes of this server's scheme."""

import asyncio
import base64
import hmac
import logging
import re
import unicodedata
from collections.abc import Iterator
from contextlib import closing

import bcrypt
import pytest

from ops.logs import SERVER
from rules.password_scheme import SCHEME, PasswordScheme, pepper_id
from rules.passwords import PasswordHasher
from rules.turns import Caller
from tests.harness.hashing import COST, new_hasher

PASSWORD = "correct horse"
CALLER = Caller.at("192.0.2.1", "susan")
OLD = "the-old-pepper-of-these-tests-00"
NEW = "the-new-pepper-of-these-tests-11"
PEPPERED = re.compile(re.escape(SCHEME) + r"\+[0-9a-f]{12}\$2b\$04\$[./A-Za-z0-9]{53}")


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    with hasher_with() as hasher:
        yield hasher


def hashed(hasher: PasswordHasher, password: str) -> str:
    async def work() -> str:
        async with hasher.slot(CALLER) as slot:
            return await slot.hash(password)

    return asyncio.run(work())


def verified(hasher: PasswordHasher, password: str, stored: str | None) -> bool:
    async def work() -> bool:
        async with hasher.slot(CALLER, stored) as slot:
            return await slot.verify(password, stored)

    return asyncio.run(work())


@pytest.mark.parametrize("password", ["correct horse", "", "😀" * 1024, "grüße", "a" * 72])
def test_a_password_is_verified_against_its_hash(hasher: PasswordHasher, password: str) -> None:
    stored = hashed(hasher, password)
    assert verified(hasher, password, stored)
    assert not verified(hasher, password + "x", stored)


def test_the_stored_string_names_its_scheme(hasher: PasswordHasher) -> None:
    assert hashed(hasher, "correct horse").startswith(SCHEME + "$2b$04$")


def test_a_password_is_not_truncated_at_72_bytes(hasher: PasswordHasher) -> None:
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


def test_bcrypt_receives_a_condensed_password_not_the_original(hasher: PasswordHasher) -> None:
    stored = hashed(hasher, "correct horse").removeprefix(SCHEME).encode()
    assert not bcrypt.checkpw(b"correct horse", stored)


def test_no_password_matches_an_unknown_user(hasher: PasswordHasher) -> None:
    assert not verified(hasher, "correct horse", None)


def test_an_unknown_user_costs_a_whole_hash(hasher: PasswordHasher, checks: list[bytes]) -> None:
    verified(hasher, "correct horse", None)
    verified(hasher, "correct horse", hashed(hasher, "other"))
    assert [stored[:7] for stored in checks] == [b"$2b$04$", b"$2b$04$"]


def test_a_hash_of_another_cost_needs_a_rehash(hasher: PasswordHasher) -> None:
    stored = hashed_with(cost=5)
    assert hasher.scheme.needs_rehash(stored)
    assert verified(hasher, PASSWORD, stored)
    assert not hasher.scheme.needs_rehash(hashed(hasher, PASSWORD))


@pytest.mark.parametrize("stored", ["", "$2b$04$abc", "$userauth-argon2$x", "plain"])
def test_a_stored_string_of_an_unknown_scheme_raises(hasher: PasswordHasher, stored: str) -> None:
    with pytest.raises(ValueError, match="hash"):
        verified(hasher, "correct horse", stored)


def hasher_with(*peppers: str, cost: int = COST) -> "closing[PasswordHasher]":
    return closing(new_hasher(cost=cost, peppers=peppers))


def hashed_with(*peppers: str, cost: int = COST) -> str:
    return PasswordScheme(cost=cost, peppers=peppers).hash(PASSWORD)


@pytest.mark.parametrize("password", [PASSWORD, "", "😀" * 1024, "grüße", "with\x00null"])
def test_with_a_pepper_a_password_is_verified_against_its_hash(password: str) -> None:
    with hasher_with(NEW) as hasher:
        stored = hashed(hasher, password)
        assert verified(hasher, password, stored)
        assert not verified(hasher, password + "x", stored)
        assert not hasher.scheme.needs_rehash(stored)


def test_a_peppered_hash_names_the_newest_pepper_and_reveals_nothing_of_it() -> None:
    stored = hashed_with(NEW, OLD)
    assert PEPPERED.fullmatch(stored)
    assert stored.startswith(f"{SCHEME}+{pepper_id(NEW)}$2b$04$")
    assert NEW not in stored


def test_a_pepper_has_one_id_that_differs_from_other_peppers() -> None:
    assert re.fullmatch("[0-9a-f]{12}", pepper_id(NEW))
    assert pepper_id(NEW) == pepper_id(NEW) != pepper_id(OLD)


def test_bcrypt_receives_64_bytes_of_base64_with_and_without_a_pepper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bytes] = []
    hashpw = bcrypt.hashpw

    def recorded(password: bytes, salt: bytes) -> bytes:
        seen.append(password)
        return hashpw(password, salt)

    with hasher_with() as without, hasher_with(NEW) as with_pepper:
        monkeypatch.setattr("rules.password_scheme.bcrypt.hashpw", recorded)
        hashed(without, PASSWORD)
        hashed(with_pepper, PASSWORD)
    assert [len(base64.b64decode(condensed, validate=True)) for condensed in seen] == [48, 48]
    assert [len(condensed) for condensed in seen] == [64, 64]


def test_a_hash_does_not_verify_without_its_pepper_when_the_name_is_removed() -> None:
    bare = SCHEME + hashed_with(NEW).removeprefix(f"{SCHEME}+{pepper_id(NEW)}")
    with hasher_with() as without, hasher_with(NEW) as with_pepper:
        assert not verified(without, PASSWORD, bare)
        assert not verified(with_pepper, PASSWORD, bare)


def test_a_hash_of_one_pepper_does_not_verify_with_another_known_pepper() -> None:
    renamed = hashed_with(OLD).replace(pepper_id(OLD), pepper_id(NEW))
    with hasher_with(NEW, OLD) as hasher:
        assert not verified(hasher, PASSWORD, renamed)


def test_after_a_rotation_old_hashes_verify_and_need_a_rehash() -> None:
    old = hashed_with(OLD)
    with hasher_with(NEW, OLD) as hasher:
        assert verified(hasher, PASSWORD, old)
        assert not verified(hasher, PASSWORD + "x", old)
        assert hasher.scheme.needs_rehash(old)
        assert not hasher.scheme.needs_rehash(hashed(hasher, PASSWORD))


def test_before_a_rotation_a_server_with_the_new_pepper_verifies_its_hashes() -> None:
    with hasher_with(OLD, NEW) as hasher:
        assert verified(hasher, PASSWORD, hashed_with(NEW, OLD))


def test_hashes_from_before_the_first_pepper_verify_and_need_a_rehash() -> None:
    bare = hashed_with()
    with hasher_with(NEW) as hasher:
        assert verified(hasher, PASSWORD, bare)
        assert not verified(hasher, PASSWORD + "x", bare)
        assert hasher.scheme.needs_rehash(bare)


def test_a_peppered_hash_of_another_cost_needs_a_rehash() -> None:
    with hasher_with(NEW) as hasher:
        assert hasher.scheme.needs_rehash(hashed_with(NEW, cost=5))


@pytest.mark.parametrize("known", [(), (NEW,)])
def test_a_hash_with_an_unknown_pepper_matches_no_password_and_needs_a_rehash(
    known: tuple[str, ...],
) -> None:
    stored = hashed_with(OLD)
    with hasher_with(*known) as hasher:
        assert not verified(hasher, PASSWORD, stored)
        assert hasher.scheme.needs_rehash(stored)


@pytest.mark.parametrize("peppers", [(), (NEW,)])
def test_a_hash_with_an_unknown_pepper_matches_nothing_even_where_bcrypt_does(
    monkeypatch: pytest.MonkeyPatch, peppers: tuple[str, ...]
) -> None:
    stored = hashed_with(OLD)
    monkeypatch.setattr("rules.password_scheme.bcrypt.checkpw", lambda *_: True)
    with hasher_with(*peppers) as hasher:
        assert not verified(hasher, PASSWORD, stored)


def test_a_hash_with_an_unknown_pepper_costs_a_whole_hash(checks: list[bytes]) -> None:
    stored = hashed_with(OLD)
    with hasher_with(NEW) as hasher:
        verified(hasher, PASSWORD, stored)
    assert [check[:7] for check in checks] == [b"$2b$04$"]


def test_a_cheap_hash_with_an_unknown_pepper_costs_as_much_as_a_new_hash(
    monkeypatch: pytest.MonkeyPatch, checks: list[bytes]
) -> None:
    stored = hashed_with(OLD)
    with hasher_with(NEW, cost=6) as hasher:
        made_up: list[bytes] = []
        hashpw = bcrypt.hashpw

        def recorded(password: bytes, salt: bytes) -> bytes:
            made_up.append(salt[:7])
            return hashpw(password, salt)

        monkeypatch.setattr("rules.password_scheme.bcrypt.hashpw", recorded)
        assert not verified(hasher, PASSWORD, stored)
    assert [check[:7] for check in checks] == [b"$2b$04$"]
    assert made_up == [b"$2b$04$", b"$2b$05$"]


def test_an_unknown_pepper_is_logged_once_as_an_error_with_the_remedy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stored, other = hashed_with(OLD), hashed_with("another-pepper-of-these-tests-22")
    with hasher_with(NEW) as hasher:
        for presented in (stored, stored, other, hashed(hasher, PASSWORD), hashed_with(), None):
            verified(hasher, PASSWORD, presented)
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in records] == [SERVER, SERVER]
    assert pepper_id(OLD) in records[0].getMessage()
    assert "Put that pepper back" in records[0].getMessage()
    assert pepper_id("another-pepper-of-these-tests-22") in records[1].getMessage()


def test_the_decoy_for_unknown_users_uses_the_newest_pepper(
    monkeypatch: pytest.MonkeyPatch, checks: list[bytes]
) -> None:
    keys: list[bytes] = []
    digest = hmac.digest

    def recorded(key: bytes, message: bytes, kind: str) -> bytes:
        keys.append(key)
        return digest(key, message, kind)

    with hasher_with(NEW, OLD) as hasher:
        monkeypatch.setattr("rules.password_scheme.hmac.digest", recorded)
        assert not verified(hasher, PASSWORD, None)
    assert keys[-1] == NEW.encode()
    assert [check[:7] for check in checks] == [b"$2b$04$"]


def test_a_pepper_is_not_in_the_representation_of_a_hasher() -> None:
    with hasher_with(NEW, OLD) as hasher:
        shown = repr(hasher) + repr(vars(hasher)) + repr(vars(hasher.scheme))
    assert NEW not in shown
    assert OLD not in shown


@pytest.mark.parametrize("name", ["+", "+abc", "+" + "0" * 13, "+" + "A" * 12, "0" * 12])
def test_a_malformed_pepper_id_is_an_unknown_scheme(hasher: PasswordHasher, name: str) -> None:
    stored = hashed(hasher, PASSWORD).replace(SCHEME, SCHEME + name)
    with pytest.raises(ValueError, match="unknown scheme"):
        verified(hasher, PASSWORD, stored)

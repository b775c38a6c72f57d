"""Tokens: the signature is checked before the expiry, in one spelling only."""

import hashlib
import random
import string

import pytest
from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from rules.errors import TokenExpired, TokenInvalid
from rules.tokens import MAX_LENGTH, TokenClaims, TokenKind, TokenSigner, key_id
from tests.harness.clock import Clock

OLD, NEW, OTHER = (letter * 32 for letter in "abc")
TOKEN_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"
URL_SAFE = set(string.ascii_letters + string.digits + "-_.")


def claims(clock: Clock, lifetime: int = 60) -> TokenClaims:
    return TokenClaims(TOKEN_ID, int(clock()) + lifetime)


def test_a_token_is_read_back(clock: Clock) -> None:
    signer = TokenSigner([NEW], clock)
    assert signer.read(signer.issue(claims(clock))) == claims(clock)


def test_a_token_is_url_safe_and_short(clock: Clock) -> None:
    token = TokenSigner([NEW], clock).issue(claims(clock))
    assert set(token) <= URL_SAFE
    assert len(token) <= MAX_LENGTH


def test_a_token_expires_at_its_second(clock: Clock) -> None:
    signer = TokenSigner([NEW], clock)
    token = signer.issue(claims(clock, lifetime=60))
    clock.advance(59.9)
    signer.read(token)
    clock.advance(0.1)
    with pytest.raises(TokenExpired):
        signer.read(token)


def test_a_change_of_any_character_is_detected(clock: Clock) -> None:
    signer = TokenSigner([NEW], clock)
    token = signer.issue(claims(clock))
    for index, character in enumerate(token):
        for other in URL_SAFE - {character}:
            with pytest.raises(TokenInvalid):
                signer.read(token[:index] + other + token[index + 1 :])


@pytest.mark.parametrize("length", range(0, 87, 7))
def test_a_truncated_token_is_rejected(clock: Clock, length: int) -> None:
    signer = TokenSigner([NEW], clock)
    with pytest.raises(TokenInvalid):
        signer.read(signer.issue(claims(clock))[:length])


@pytest.mark.parametrize("suffix", ["=", ".", "A", " ", "\x00", "é", "x" * 100])
def test_a_token_with_a_suffix_is_rejected(clock: Clock, suffix: str) -> None:
    signer = TokenSigner([NEW], clock)
    with pytest.raises(TokenInvalid):
        signer.read(signer.issue(claims(clock)) + suffix)


@pytest.mark.parametrize("issued", TokenKind)
@pytest.mark.parametrize("read", TokenKind)
def test_a_token_of_one_kind_is_not_read_as_one_of_another(
    clock: Clock, issued: TokenKind, read: TokenKind
) -> None:
    signer = TokenSigner([NEW, OLD], clock)
    token = signer.issue(claims(clock), issued)
    if issued is read:
        assert signer.read(token, read) == claims(clock)
    else:
        with pytest.raises(TokenInvalid):
            signer.read(token, read)


@pytest.mark.parametrize("kind", TokenKind)
def test_a_key_that_another_process_added_is_read_for_each_kind(
    clock: Clock, kind: TokenKind
) -> None:
    token = TokenSigner([NEW], clock).issue(claims(clock), kind)
    reading = iter([[NEW, OLD]])
    signer = TokenSigner([OLD], clock, lambda: next(reading, None))
    assert signer.read(token, kind) == claims(clock)
    # The file is reported once: the other kind must have the new key, too.
    for each in TokenKind:
        assert signer.read(TokenSigner([NEW], clock).issue(claims(clock), each), each)


def test_an_expired_token_with_an_invalid_signature_is_only_invalid(clock: Clock) -> None:
    token = TokenSigner([OTHER], clock).issue(claims(clock, lifetime=-60))
    with pytest.raises(TokenInvalid) as rejection:
        TokenSigner([NEW], clock).read(token)
    assert not isinstance(rejection.value, TokenExpired)


def test_the_newest_key_signs_and_a_rotated_one_still_verifies(clock: Clock) -> None:
    before = TokenSigner([OLD], clock).issue(claims(clock))
    rotated = TokenSigner([NEW, OLD], clock)
    assert rotated.read(before) == claims(clock)
    after = rotated.issue(claims(clock))
    assert TokenSigner([NEW], clock).read(after) == claims(clock)


def test_a_removed_key_no_longer_verifies(clock: Clock) -> None:
    before = TokenSigner([OLD], clock).issue(claims(clock))
    with pytest.raises(TokenInvalid):
        TokenSigner([NEW], clock).read(before)


def library_reads(signer: Signer, token: str) -> bool:
    try:
        signer.unsign(token)
    except BadSignature:
        return False
    return True


@pytest.mark.parametrize("kind", TokenKind)
def test_a_signature_is_valid_exactly_when_itsdangerous_verifies_it(
    clock: Clock, kind: TokenKind
) -> None:
    library = Signer(
        [OLD, NEW], salt=kind.salt, key_derivation="hmac", digest_method=hashlib.sha256
    )
    ours = TokenSigner([NEW, OLD], clock)
    choice = random.Random(0)  # noqa: S311 - the same cases in each run
    for number in range(300):
        issuer = TokenSigner([choice.choice((OLD, NEW, OTHER))], clock)
        token = issuer.issue(TokenClaims(TOKEN_ID, int(clock()) + 1 + number), kind)
        if choice.random() < 0.5:
            place = choice.randrange(len(token))
            token = token[:place] + choice.choice("Aa0-_.") + token[place + 1 :]
        try:
            is_read = bool(ours.read(token, kind))
        except TokenExpired:
            is_read = True
        except TokenInvalid:
            is_read = False
        assert is_read == (library_reads(library, token) and is_canonical(token)), token


def is_canonical(token: str) -> bool:
    """Return whether the signature has no unused bits set, which the library ignores."""
    signature = token.rpartition(".")[2]
    return base64_encode(base64_decode(signature)).decode() == signature


def test_a_key_is_found_by_its_id_also_if_another_process_added_it(clock: Clock) -> None:
    """The secrets of a message derive from the key that was the newest when it was stored."""
    signer = TokenSigner([OLD], clock, lambda: [NEW, OLD])
    assert signer.find_key(key_id(OLD)) == OLD
    assert signer.key_id == key_id(OLD)
    assert signer.find_key(key_id(NEW)) == NEW
    assert signer.key_id == key_id(NEW)
    assert signer.find_key(key_id(OTHER)) is None

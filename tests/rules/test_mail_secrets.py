"""The secrets of messages: derived from key, kind, id and nonce, and from nothing else."""

import re
from collections import Counter
from uuid import UUID

import pytest

from rules.mail_secrets import derive_secrets, is_code, message_id_of
from rules.message_kinds import MessageKind

KEY, OTHER_KEY = "a key of at least 32 characters, really", "another key of at least 32 characters"
ID, OTHER_ID = str(UUID(int=1)), str(UUID(int=2))
NONCE, OTHER_NONCE = str(UUID(int=3)), str(UUID(int=4))
RESET, UNDO = MessageKind.PASSWORD_RESET, MessageKind.EMAIL_UNDO


def test_a_token_is_the_id_and_256_bits_and_a_code_8_digits() -> None:
    secrets = derive_secrets(KEY, RESET, ID, NONCE)
    assert re.fullmatch(rf"{ID}\.[A-Za-z0-9_-]{{43}}", secrets.token)
    assert len(secrets.token) == 80
    assert re.fullmatch(r"[0-9]{8}", secrets.code)


def test_the_same_message_has_the_same_secrets_in_every_process() -> None:
    """Written out: a change would make every message in the outbox void."""
    secrets = derive_secrets(KEY, RESET, ID, NONCE)
    assert secrets == derive_secrets(KEY, RESET, ID, NONCE)
    assert (secrets.token, secrets.code) == (
        f"{ID}.BSvLHTv5qMNG9Eyp-kAhWheJ_SDRF7-rmixNjIJHTDo",
        "96718009",
    )


@pytest.mark.parametrize(
    "different",
    [
        (OTHER_KEY, RESET, ID, NONCE),
        (KEY, UNDO, ID, NONCE),
        (KEY, RESET, OTHER_ID, NONCE),
        (KEY, RESET, ID, OTHER_NONCE),
    ],
)
def test_another_key_kind_id_or_nonce_has_other_secrets(
    different: tuple[str, str, str, str],
) -> None:
    secrets, other = derive_secrets(KEY, RESET, ID, NONCE), derive_secrets(*different)
    assert not secrets.has_token(other.token)
    assert not secrets.has_code(other.code)
    assert secrets.token.partition(".")[2] != other.token.partition(".")[2]


def test_only_the_exact_token_and_code_are_accepted() -> None:
    secrets = derive_secrets(KEY, RESET, ID, NONCE)
    assert secrets.has_token(secrets.token)
    assert secrets.has_code(secrets.code)
    for wrong in ("", secrets.token[:-1], secrets.token + "=", secrets.token.upper(), "ü" * 80):
        assert not secrets.has_token(wrong)
    for wrong in ("", secrets.code[:-1], secrets.code + "0", "ü" * 8, secrets.token):
        assert not secrets.has_code(wrong)


def test_codes_are_spread_over_all_digits() -> None:
    codes = [derive_secrets(KEY, RESET, ID, str(UUID(int=number))).code for number in range(2000)]
    assert len(set(codes)) > 1990
    for position in range(8):
        digits = Counter(code[position] for code in codes)
        assert len(digits) == 10
        assert max(digits.values()) < 300


def test_secrets_are_not_in_the_representation() -> None:
    secrets = derive_secrets(KEY, RESET, ID, NONCE)
    assert secrets.code not in repr(secrets)
    assert secrets.token.partition(".")[2] not in repr(secrets)


@pytest.mark.parametrize("text", ["00000000", "12345678"])
def test_eight_ascii_digits_are_a_code(text: str) -> None:
    assert is_code(text)


@pytest.mark.parametrize(
    "text", ["", "1234567", "123456789", "1234 678", "+1234567", "1234567a", "\u0661" * 8, "²" * 8]
)
def test_anything_else_is_no_code(text: str) -> None:
    assert not is_code(text)


def test_the_id_of_a_token_is_read() -> None:
    assert message_id_of(derive_secrets(KEY, RESET, ID, NONCE).token) == ID


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", ID, f"{ID}.", f"{ID}.{'a' * 42}", f"{ID}.{'a' * 44}", f"{ID}.{'a' * 42}="),
        *(f"{ID[:-1]}.{'a' * 43}", f"{ID[:-1]}g.{'a' * 43}", f" {ID}.{'a' * 43}"),
        *(f"{ID}.{'a' * 43}\n", f"{ID.replace('-', '')}.{'a' * 43}", f"{ID}.{'ä' * 43}"),
        f"{ID.replace('0', 'A')}.{'a' * 43}",
    ],
)
def test_a_malformed_token_has_no_id(text: str) -> None:
    assert message_id_of(text) is None

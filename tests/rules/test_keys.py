"""Signing keys in a file."""

import errno
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from rules.errors import TokenInvalid
from rules.keys import (
    KeysFile,
    KeysFileError,
    add_key,
    read_keys,
    read_or_create_keys,
    remove_keys,
)
from rules.tokens import TokenClaims, TokenSigner
from tests.harness.clock import Clock

KEY = "k" * 32
OTHER_USER = 65534


def written(file: Path, text: str, mode: int = 0o600) -> Path:
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_missing_file_is_created_once_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "var" / "secret_keys"
    keys = read_or_create_keys(file)
    assert len(keys) == 1
    assert len(keys[0]) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_or_create_keys(file) == keys
    assert [entry.name for entry in file.parent.iterdir()] == ["secret_keys"]


def test_processes_that_start_at_the_same_time_agree_on_the_key(tmp_path: Path) -> None:
    file = tmp_path / "secret_keys"
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(read_or_create_keys, [file] * 16))
    assert len(found) == 1


def test_keys_are_read_newest_first(tmp_path: Path) -> None:
    file = written(tmp_path / "keys", f"{'n' * 32}\n{'o' * 32}\n")
    assert read_keys(file) == ("n" * 32, "o" * 32)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    file = written(tmp_path / "keys", f"\ufeff{KEY}\n")
    assert read_keys(file) == (KEY,)
    new = add_key(file)
    assert read_keys(file) == (new, KEY)
    assert file.read_bytes().isascii()


@pytest.mark.parametrize(
    "text", ["", "\n", "short", f"{KEY}\nshort", "ä" * 32, f"{KEY}\n\ufeff{KEY}"]
)
def test_a_file_without_valid_keys_is_rejected(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeysFileError, match="keys"):
        read_keys(written(tmp_path / "keys", text))


def test_the_error_of_a_file_without_keys_does_not_advise_to_change_its_mode(
    tmp_path: Path,
) -> None:
    file = written(tmp_path / "passwd", "root:x:0:0:root:/root:/bin/bash\n", 0o644)
    with pytest.raises(KeysFileError) as caught:
        read_keys(file)
    assert str(caught.value) == (
        f"tokens.keys_file {file} must contain keys of at least 32 characters, one per line."
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_rejected(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeysFileError, match="chmod 600"):
        read_keys(written(tmp_path / "keys", KEY, mode))


def test_reading_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(KeysFileError, match="SECRET_KEYS"):
        read_keys(tmp_path / "keys")


def test_a_new_key_is_inserted_at_the_top_and_the_file_keeps_its_mode(tmp_path: Path) -> None:
    file = written(tmp_path / "keys", f"{KEY}\n", 0o400)
    key = add_key(file)
    assert read_keys(file) == (key, KEY)
    assert stat.S_IMODE(file.stat().st_mode) == 0o400
    remove_keys(file, [KEY])
    assert read_keys(file) == (key,)
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]


def test_the_first_key_creates_the_file(tmp_path: Path) -> None:
    file = tmp_path / "directory" / "keys"
    key = add_key(file)
    assert read_keys(file) == (key,)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_keys_added_concurrently_are_all_stored(tmp_path: Path) -> None:
    file = written(tmp_path / "keys", f"{KEY}\n")
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(add_key, [file] * 8))
    assert sorted(read_keys(file)) == sorted([*added, KEY])


def test_a_faulty_file_is_not_overwritten(tmp_path: Path) -> None:
    file = written(tmp_path / "keys", "short\n")
    with pytest.raises(KeysFileError):
        add_key(file)
    assert file.read_text() == "short\n"


@pytest.mark.parametrize(
    ("mode", "owner", "user", "is_read"),
    [
        (0o440, 0, 1000, True),
        (0o640, 0, 1000, True),
        (0o660, 0, 1000, False),
        (0o444, 0, 1000, False),
        (0o440, 1000, 1000, False),
        (0o440, 0, 0, False),
    ],
)
def test_a_file_of_root_may_be_readable_by_the_group(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    owner: int,
    user: int,
    *,
    is_read: bool,
) -> None:
    file = written(tmp_path / "keys", f"{KEY}\n", mode)
    known = os.fstat

    def owned(descriptor: int) -> os.stat_result:
        found = list(known(descriptor))
        found[4] = owner
        return os.stat_result(found)

    monkeypatch.setattr("rules.keys.os.fstat", owned)
    monkeypatch.setattr("rules.keys.os.geteuid", lambda: user)
    with nullcontext() if is_read else pytest.raises(KeysFileError, match="by others"):
        read_keys(file)


def test_a_key_added_after_the_first_reading_of_the_server_is_found(
    tmp_path: Path, clock: Clock
) -> None:
    file = written(tmp_path / "keys", KEY)
    keys = read_keys(file)
    new = add_key(file)
    # The start of Postgres and the migration are between the reading and this.
    signer = TokenSigner(keys, clock, KeysFile(file).read_changed)
    claims = TokenClaims("0f0e0d0c-0b0a-4908-8706-050403020100", int(clock()) + 60)
    assert signer.read(TokenSigner([new], clock).issue(claims)) == claims
    assert signer.keys == (new, KEY)


def test_the_file_is_read_for_no_valid_token_and_once_for_many_forged_ones(
    tmp_path: Path, clock: Clock
) -> None:
    file = written(tmp_path / "keys", KEY)
    readings: list[Path] = []

    def read(path: Path) -> tuple[str, ...]:
        readings.append(path)
        return read_keys(path)

    signer = TokenSigner([KEY], clock, KeysFile(file, read).read_changed)
    token = signer.issue(TokenClaims("0f0e0d0c-0b0a-4908-8706-050403020100", int(clock()) + 60))
    signer.read(token)
    assert readings == []
    for forged in ("x", token[:-1], "y" * 91):
        with pytest.raises(TokenInvalid):
            signer.read(forged)
        assert readings == [file]
    signer.read(token)
    assert readings == [file]


def test_a_failure_of_a_write_to_an_existing_file_is_not_reported_as_one_of_a_creation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = written(tmp_path / "keys", f"{KEY}\n")
    monkeypatch.setattr("rules.keys.os.fsync", fail)
    for change in (add_key, lambda file: remove_keys(file, ())):
        with pytest.raises(KeysFileError, match=r"keys cannot be written \(No space left"):
            change(file)
    assert file.read_text() == f"{KEY}\n"


@pytest.fixture
def directory_of_another_user(tmp_path: Path) -> Path:
    """Return a directory of another user, if the test may create one."""
    directory = tmp_path / "other"
    directory.mkdir()
    if os.geteuid() == 0:
        os.chown(directory, OTHER_USER, OTHER_USER)
    return directory


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("change", [add_key, lambda file: remove_keys(file, ())])
def test_keys_behind_a_link_are_not_copied_to_the_owner_of_the_link(
    directory_of_another_user: Path, tmp_path: Path, change: Callable[[Path], object], *, hard: bool
) -> None:
    secret = written(tmp_path / "secret", f"{KEY}\n")
    before = secret.stat()
    file = directory_of_another_user / "keys"
    if hard:
        file.hardlink_to(secret)
    else:
        file.symlink_to(secret)
    with pytest.raises(KeysFileError, match="is a link"):
        change(file)
    file.unlink()
    after = secret.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
    assert secret.read_text() == f"{KEY}\n"
    assert list(directory_of_another_user.iterdir()) == []


def test_a_file_replaced_by_a_link_during_a_write_keeps_its_owner(
    directory_of_another_user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = written(tmp_path / "secret", f"{KEY}\n")
    before = secret.stat()
    sync = os.fsync

    def swap(descriptor: int) -> None:
        # Every name in that directory becomes a link at the last moment.
        for entry in directory_of_another_user.iterdir():
            if not entry.is_symlink():
                entry.unlink()
                entry.symlink_to(secret)
        sync(descriptor)

    monkeypatch.setattr("rules.keys.os.fsync", swap)
    add_key(directory_of_another_user / "keys")
    after = secret.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
    assert secret.read_text() == f"{KEY}\n"

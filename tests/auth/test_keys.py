"""Signing keys kept in a file."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from auth.keys import KeysFileError, read_keys, read_or_create_keys

KEY = "k" * 32


def written(file: Path, text: str, mode: int = 0o600) -> Path:
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_missing_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "var" / "secret_keys"
    keys = read_or_create_keys(file)
    assert len(keys) == 1
    assert len(keys[0]) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_or_create_keys(file) == keys
    assert [entry.name for entry in file.parent.iterdir()] == ["secret_keys"]


def test_processes_that_start_at_once_agree_on_the_key(tmp_path: Path) -> None:
    file = tmp_path / "secret_keys"
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(read_or_create_keys, [file] * 16))
    assert len(found) == 1


def test_keys_are_read_newest_first(tmp_path: Path) -> None:
    file = written(tmp_path / "keys", f"{'n' * 32}\n{'o' * 32}\n")
    assert read_keys(file) == ("n" * 32, "o" * 32)


@pytest.mark.parametrize("text", ["", "\n", "short", f"{KEY}\nshort", "ä" * 32])
def test_a_file_without_good_keys_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeysFileError, match="keys"):
        read_keys(written(tmp_path / "keys", text))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeysFileError, match="chmod 600"):
        read_keys(written(tmp_path / "keys", KEY, mode))


def test_a_missing_file_is_refused_where_it_may_not_be_made(tmp_path: Path) -> None:
    with pytest.raises(KeysFileError, match="SECRET_KEYS"):
        read_keys(tmp_path / "keys")

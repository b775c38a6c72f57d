"""Hashes that a test blocks."""

import threading

import bcrypt
import pytest

from tests.harness.waiting import WORK_SECONDS


class BlockedHashes:
    """Verifications by bcrypt, each blocked until ``may_continue`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_continue = threading.Event()
        # One for each verification that started.
        self.threads: list[threading.Thread] = []
        self._check = bcrypt.checkpw
        monkeypatch.setattr("rules.password_scheme.bcrypt.checkpw", self._wait)

    def _wait(self, password: bytes, stored: bytes) -> bool:
        self.threads.append(threading.current_thread())
        self.may_continue.wait(WORK_SECONDS)
        return self._check(password, stored)

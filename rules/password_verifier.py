"""Verifies passwords on the workers, and computes how long to delay a rejection."""

import logging
import time
from collections.abc import Callable, Container
from functools import partial
from typing import Protocol

from ops.logs import SERVER
from rules.hash_queue import Slot
from rules.password_scheme import PasswordScheme, cost_of, is_own
from rules.rejections import RejectionTimes
from rules.text_bounds import nfc

# The prefix of kinds that are hashes of this server, with a higher cost than new ones.
_OWN_KINDS = "own, cost "
_log = logging.getLogger(SERVER)


class ImportedHash(Protocol):
    """A password hash of another service; see rules/imported_hashes.py."""

    @property
    def kind(self) -> str:
        """Return a name that is the same for all hashes that take the same time."""

    @property
    def memory(self) -> int:
        """Return how many bytes it takes to compute the hash."""

    def matches(self, password: str) -> bool:
        """Return whether the password is the stored one, in any of its forms."""

    def reads_whole(self, password: str) -> bool:
        """Return whether a match proves every byte of the password."""


ReadImported = Callable[[str], ImportedHash]


class PasswordVerifier:
    """Verifies passwords, and measures their hashes.

    ``read_imported`` reads a hash of another service, and raises ValueError for an unknown format.
    ``usual_seconds`` is an initial estimate of the time of a hash of this server; ``timer``
    returns seconds.
    """

    def __init__(
        self,
        scheme: PasswordScheme,
        read_imported: ReadImported,
        *,
        usual_seconds: float,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._scheme = scheme
        self._read_imported = read_imported
        self._timer = timer
        self._rejections = RejectionTimes(usual_seconds)
        self._logged_peppers: set[str] = set()

    async def verify(self, slot: Slot, password: str, stored: str | None) -> float | None:
        """Return None if a password matches, otherwise the delay of its rejection in seconds."""
        compared = self._scheme.decoy if stored is None else stored
        imported = None if is_own(compared) else self._read_imported(compared)
        if imported is None:
            matches = partial(self._scheme.verify, password, compared)
            self._log_missing_pepper(compared)
        else:
            matches = partial(imported.matches, password)
        is_match, seconds = await slot.run(partial(self._timed, matches))
        if is_match and stored is not None:
            return None
        forms = 1 if nfc(password) == password else 2
        self._note(compared, imported, seconds, forms)
        return self._rejections.delay_seconds(seconds, forms=forms)

    def retain_kinds(self, kinds: Container[str]) -> None:
        """Stop delaying rejections for kinds of imported hashes that are not among these."""
        self._rejections.retain(lambda kind: kind in kinds or kind.startswith(_OWN_KINDS))

    def _timed(self, matches: Callable[[], bool]) -> tuple[bool, float]:
        began = self._timer()
        is_match = matches()
        return is_match, self._timer() - began

    def _note(self, stored: str, imported: ImportedHash | None, seconds: float, forms: int) -> None:
        """Record how long a rejected password took."""
        if imported is not None:
            self._rejections.note(imported.kind, seconds / forms)
        elif cost_of(stored) > self._scheme.cost:
            self._rejections.note(f"{_OWN_KINDS}{cost_of(stored)}", seconds)
        else:
            self._rejections.note_usual(seconds)

    def _log_missing_pepper(self, stored: str) -> None:
        missing = self._scheme.missing_pepper(stored)
        if missing is None or missing in self._logged_peppers:
            return
        self._logged_peppers.add(missing)
        _log.error(
            "password hashes name the pepper %s, which passwords.pepper does not contain: no user"
            " with such a hash can log in. Put that pepper back, after the newest.",
            missing,
        )

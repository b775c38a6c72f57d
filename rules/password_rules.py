"""The rules for passwords: NIST SP 800-63B-4 section 3.1.1, OWASP ASVS 5.0 chapter 6.2."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path

from rules.errors import Rejected
from rules.text_bounds import MAX_LENGTH, nfc, nfkc

# A password must have at least this many letters besides the user's own words, and as many besides
# the words of the service.
_MIN_OTHER_LETTERS = 4
_MIN_WORD_LENGTH = 3


class PasswordRules:
    """The rules for a new password.

    ``min_length`` counts code points after NFC. ``refuse_common`` rejects passwords on zxcvbn's
    list of common passwords, and those made of the user's own email address or name, or of
    ``service_words``, the names of the service itself.
    """

    def __init__(
        self, *, min_length: int, refuse_common: bool, service_words: Sequence[str]
    ) -> None:
        self._min_length = min_length
        self._refuse_common = refuse_common
        self._service_words = tuple(service_words)
        self._common = _common_passwords() if refuse_common else frozenset()

    def check(self, password: str, *, own_words: Iterable[str]) -> None:
        """Raise Rejected, or another ValueError, with a reason if the password is not accepted.

        ``own_words`` are an email address and a name that were accepted, and therefore short.
        """
        password = nfc(password)
        length = f"must have {self._min_length} to {MAX_LENGTH} characters"
        if len(password) < self._min_length:
            raise Rejected("password-too-short", length)
        if len(password) > MAX_LENGTH:
            raise Rejected("password-too-long", length)
        if any(unicodedata.category(character) in {"Cc", "Cs"} for character in password):
            raise Rejected("password-control-characters", "must not contain control characters")
        if self._refuse_common:
            self._check_not_guessed(password, own_words)

    def _check_not_guessed(self, password: str, own_words: Iterable[str]) -> None:
        folded = _folded(password)
        if folded in self._common:
            raise Rejected("password-common", "is on a list of common passwords; choose another")
        if _is_made_of(folded, own_words):
            reason = "is made of your own email address or name; choose another"
            raise Rejected("password-own-words", reason)
        if _is_made_of(folded, self._service_words):
            reason = "is made of the name of this service; choose another"
            raise Rejected("password-service-words", reason)


def _common_passwords() -> frozenset[str]:
    # Only the module with the lists: importing the package builds rankings of all lists, which
    # are not needed here and take twice the memory. A copy of the list would be 240 KB of data to
    # keep up to date.
    package = find_spec("zxcvbn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("zxcvbn is not installed.", name="zxcvbn")
    lists = run_path(str(Path(package.origin).with_name("frequency_lists.py")))
    return frozenset(map(_folded, lists["FREQUENCY_LISTS"]["passwords"]))


def _folded(text: str) -> str:
    """Return a form that is the same for spellings that differ in case or width only."""
    return nfkc(text).casefold()


def _is_made_of(rest: str, texts: Iterable[str]) -> bool:
    """Return whether a folded password has few letters other than the words of some texts."""
    words = {word for text in texts for word in _words(text)}
    if not any(word in rest for word in words):
        return False
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, "")
    return sum(character.isalpha() for character in rest) < _MIN_OTHER_LETTERS


def _words(text: str) -> Iterator[str]:
    folded = _folded(text)
    for word in (folded, *re.split(r"[\W_\d]+", folded)):
        if len(word) >= _MIN_WORD_LENGTH:
            yield word

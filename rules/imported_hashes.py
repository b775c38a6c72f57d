"""Password hashes of other services, verified as they are until their users next log in."""

from dataclasses import dataclass, field

from rules.imported_formats import FORMATS
from rules.imported_parsed import ParsedHash
from rules.text_bounds import nfc

_MAX_LENGTH = 1000
# The groups in the patterns of the formats that determine the time of a hash.
_PARAMETERS = ("cost", "digest", "iterations", "n", "ln", "r", "m", "t", "p")


@dataclass(frozen=True, slots=True)
class ImportedHash:
    """A password hash of another service.

    ``kind`` is the same for hashes that take the same time; ``memory`` is in bytes.
    """

    kind: str
    _parsed: ParsedHash = field(repr=False)

    @property
    def memory(self) -> int:
        """Return how many bytes it takes to compute the hash."""
        return self._parsed.memory

    def matches(self, password: str) -> bool:
        """Return whether the password is the stored one.

        Other services hashed what was typed, so the password is tried as it is and then, if
        that differs, in its NFC form.
        """
        forms = dict.fromkeys((password, nfc(password)))
        return any(self._parsed.matches(form) for form in forms)

    def reads_whole(self, password: str) -> bool:
        """Return whether every byte of a password counts, so that a match proves all of it.

        bcrypt truncates a password. PBKDF2 and scrypt pad it with NUL, so that a NUL at its end
        does not count.
        """
        if "\0" in password and not self._parsed.reads_nul:
            return False
        max_bytes = self._parsed.max_bytes
        return max_bytes is None or all(
            len(form.encode()) <= max_bytes for form in (password, nfc(password))
        )

    def check_usual(self) -> None:
        """Raise ValueError if the hash costs more than an import accepts by default."""
        for cost in self._parsed.costs:
            cost.check_usual()


def check(stored: str, *, allow_expensive: bool = False) -> None:
    """Raise ValueError, with a reason that quotes nothing, if a hash cannot be imported.

    Unknown formats, malformed texts, texts of more than 1000 characters and expensive hashes are
    rejected: a bcrypt cost over 14, more than 2 million iterations of PBKDF2, more than 128 MiB of
    memory, for scrypt more than 256 MiB when multiplied by p, for Argon2 more than 512 MiB in all
    passes together. Nothing is hashed.

    With ``allow_expensive`` the bounds are those of `read`: a bcrypt cost of 4 to 18; up to 10
    million iterations of PBKDF2; for scrypt an N of at least 128, p up to 16, memory (128·N·r) up
    to 256 MiB, and up to 1 GiB when multiplied by p; for Argon2 up to 1 GiB, 32 passes, 64 lanes,
    and up to 4 GiB in all passes together.
    """
    found = read(stored)
    if not allow_expensive:
        found.check_usual()


def read(stored: str) -> ImportedHash:
    """Return the hash in a text; raises ValueError with a reason that quotes nothing.

    Hashes that were imported with ``allow_expensive`` are accepted.
    """
    if len(stored) > _MAX_LENGTH:
        raise ValueError(f"A password hash has at most {_MAX_LENGTH} characters.")
    if not (stored.isascii() and stored.isprintable()):
        raise ValueError("A password hash consists of printable ASCII characters.")
    for known in FORMATS:
        if stored.startswith(known.prefixes):
            match = known.shape.fullmatch(stored)
            if match is None:
                raise ValueError(f"This is not a well-formed hash of {known.name}.")
            groups = match.groupdict()
            parameters = [f"{name}={groups[name]}" for name in _PARAMETERS if name in groups]
            return ImportedHash(" ".join((known.name, *parameters)), known.parse(match))
    raise ValueError("The password hash is in an unknown format.")

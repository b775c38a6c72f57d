"""Password hashes of other services, which users bring along until they next log in.

Each format is read here, and verified by a library: bcrypt, the bcrypt_sha256 of passlib and of
Django, and scrypt in PHC form by passlib; argon2 by argon2-cffi; Werkzeug's formats by Werkzeug,
and Django's pbkdf2 and scrypt too, rewritten as Werkzeug's. The libraries are imported where they
are first needed: together they take 80 ms and 5 MiB, and most servers import no users.
"""

import base64
import binascii
import re
import string
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from rules.text_bounds import nfc

_MAX_LENGTH = 1000

_BCRYPT_COST = (4, 18)
_BCRYPT_BYTES = 72  # bcrypt reads no more of a password
_BCRYPT_ALPHABET = "./" + string.ascii_uppercase + string.ascii_lowercase + string.digits

_PBKDF2_ITERATIONS = (1, 10_000_000)
_DIGEST_BYTES = {"sha1": 20, "sha256": 32, "sha512": 64}

_SCRYPT_LEAST_N = 128  # with less, what Werkzeug lets OpenSSL take is too little
_SCRYPT_P = (1, 16)
_SCRYPT_MEMORY = 256 * 2**20
_SCRYPT_WORK = 2**30  # memory times p: Werkzeug hands it to OpenSSL, which takes less than 2^31
_SCRYPT_MOST_LN = 31
_SCRYPT_BYTES = 64
_PHC_SCRYPT_BYTES = 32

_ARGON2_KIB = (8, 2**20)
_ARGON2_PASSES = (1, 32)
_ARGON2_LANES = (1, 64)
_ARGON2_KIB_OF_ALL_PASSES = 4 * 2**20
_ARGON2_KIB_A_LANE = 8
_ARGON2_SALT_BYTES = 8
_ARGON2_BYTES = 16

# What an import takes by default. These are above what OWASP recommends, and take about a second
# on a core of 2020, so that the refusals of all passwords can be made to take as long.
_USUAL_BCRYPT_COST = 14
_USUAL_PBKDF2_ITERATIONS = 2_000_000
_USUAL_MEMORY = 128 * 2**20
_USUAL_SCRYPT_WORK = 256 * 2**20  # memory times p
_USUAL_ARGON2_KIB_OF_ALL_PASSES = 512 * 2**10

# What the time of a hash depends on, as groups of the patterns below.
_PARAMETERS = ("cost", "digest", "iterations", "n", "ln", "r", "m", "t", "p")

_Matcher = Callable[[str], bool]

_loading_bcrypt = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a parameter costs, and the most of it that an import takes by default."""

    what: str
    value: int
    usual: int


@dataclass(frozen=True, slots=True)
class _Parsed:
    """What a format makes of a text. ``reads_bytes`` is how much of a password it reads, if cut."""

    matches: _Matcher = field(repr=False)
    costs: tuple[_Cost, ...]
    memory: int = 0
    reads_bytes: int | None = None
    reads_nul: bool = True


@dataclass(frozen=True, slots=True)
class ForeignHash:
    """A password hash of another service.

    ``kind`` is the same for hashes that take the same time; ``memory`` is in bytes.
    """

    kind: str
    _parsed: _Parsed = field(repr=False)

    @property
    def memory(self) -> int:
        """Return how many bytes it takes to compute it."""
        return self._parsed.memory

    def matches(self, password: str) -> bool:
        """Tell whether the password is the stored one.

        Other services hashed what was typed, so the password is tried as it is and then, where
        that is another text, in its NFC form.
        """
        try:
            password.encode()
        except UnicodeEncodeError:  # half of a surrogate pair
            self._parsed.matches("")  # as long as for any other wrong password
            return False
        forms = dict.fromkeys((password, nfc(password)))
        return any(self._parsed.matches(form) for form in forms)

    def reads_whole(self, password: str) -> bool:
        """Tell whether every byte of a password counts, so that a match proves all of it.

        bcrypt cuts a password off. pbkdf2 and scrypt fill it up with NUL, so that NUL at its end
        does not count.
        """
        if "\0" in password and not self._parsed.reads_nul:
            return False
        most = self._parsed.reads_bytes
        return most is None or all(
            len(form.encode(errors="surrogatepass")) <= most for form in (password, nfc(password))
        )

    def check_usual(self) -> None:
        """Raise ValueError where it costs more than an import takes by default."""
        for cost in self._parsed.costs:
            if cost.value > cost.usual:
                raise ValueError(
                    f"{cost.what} is over {cost.usual}, the most that is taken by default."
                )


def check(stored: str, *, allow_expensive: bool = False) -> None:
    """Raise ValueError, with a reason that quotes nothing, where a hash is not to be imported.

    Refused are unknown formats, malformed texts, more than 1000 characters, and what costs much
    time or memory: a bcrypt cost over 14, more than 2 million iterations of pbkdf2, more than
    128 MiB, for scrypt more than 256 MiB when multiplied by p, for argon2 more than 512 MiB in all
    passes together. Nothing is hashed.

    ``allow_expensive`` refuses only what is absurd, as `read` does: it takes a bcrypt cost of 4 to
    18; up to 10 million iterations of pbkdf2; for scrypt an N of at least 128, p up to 16, memory
    (128·N·r) up to 256 MiB, and up to 1 GiB when multiplied by p; for argon2 up to 1 GiB, 32
    passes, 64 lanes, and up to 4 GiB in all passes together.
    """
    found = read(stored)
    if not allow_expensive:
        found.check_usual()


def verify(password: str, stored: str) -> bool:
    """Tell whether the password is the stored one; ValueError where `read` raises it."""
    return read(stored).matches(password)


@dataclass(frozen=True, slots=True)
class _Format:
    """A format: how its texts begin, their whole shape, and what makes something of one."""

    name: str
    begins: tuple[str, ...]
    shape: re.Pattern[str]
    read: Callable[[re.Match[str]], _Parsed]


def read(stored: str) -> ForeignHash:
    """Return the hash that a text stands for; raises ValueError with a reason that quotes nothing.

    What an import took with ``allow_expensive`` can be read.
    """
    if len(stored) > _MAX_LENGTH:
        raise ValueError(f"A password hash has at most {_MAX_LENGTH} characters.")
    if not (stored.isascii() and stored.isprintable()):
        raise ValueError("A password hash is of printable ASCII characters.")
    for known in _FORMATS:
        if stored.startswith(known.begins):
            match = known.shape.fullmatch(stored)
            if match is None:
                raise ValueError(f"This is no well-formed hash of {known.name}.")
            groups = match.groupdict()
            parameters = [f"{name}={groups[name]}" for name in _PARAMETERS if name in groups]
            return ForeignHash(" ".join((known.name, *parameters)), known.read(match))
    raise ValueError("The password hash is of an unknown format.")


def _read_bcrypt(match: re.Match[str]) -> _Parsed:
    matches = partial(_is_by_bcrypt, match["begin"] + _without_unused_bits(match))
    return _Parsed(matches, _bcrypt_costs(match), reads_bytes=_BCRYPT_BYTES)


def _read_django_bcrypt_sha256(match: re.Match[str]) -> _Parsed:
    text = "bcrypt_sha256$" + match["begin"] + _without_unused_bits(match)
    matches = partial(_is_by_passlib, "django_bcrypt_sha256", text)
    return _Parsed(matches, _bcrypt_costs(match))


def _read_passlib_bcrypt_sha256(match: re.Match[str]) -> _Parsed:
    matches = partial(_is_by_passlib, "bcrypt_sha256", match.string)
    return _Parsed(matches, _bcrypt_costs(match))


def _bcrypt_costs(match: re.Match[str]) -> tuple[_Cost, ...]:
    cost = int(match["cost"])
    _within("bcrypt's cost", cost, _BCRYPT_COST)
    return (_Cost("bcrypt's cost", cost, _USUAL_BCRYPT_COST),)


def _read_werkzeug_pbkdf2(match: re.Match[str]) -> _Parsed:
    hash_bytes = bytes.fromhex(match["hash"])
    return _pbkdf2(match["digest"], int(match["iterations"]), match["salt"], hash_bytes)


def _read_django_pbkdf2(match: re.Match[str]) -> _Parsed:
    hash_bytes = _decode(match["hash"])
    return _pbkdf2(match["digest"], int(match["iterations"]), match["salt"], hash_bytes)


def _read_werkzeug_scrypt(match: re.Match[str]) -> _Parsed:
    return _scrypt(match, bytes.fromhex(match["hash"]))


def _read_django_scrypt(match: re.Match[str]) -> _Parsed:
    return _scrypt(match, _decode(match["hash"]))


def _read_phc_scrypt(match: re.Match[str]) -> _Parsed:
    # passlib and the PHC write log2 N without padding; Kratos writes N itself, and padding.
    ln = int(match["ln"])
    n = 1 << ln if ln <= _SCRYPT_MOST_LN else ln
    r, p = int(match["r"]), int(match["p"])
    costs = _scrypt_costs(n, r, p)
    salt, hash_bytes = _decode(match["salt"]), _decode(match["hash"])
    _sized("scrypt's hash", hash_bytes, _PHC_SCRYPT_BYTES)
    text = f"$scrypt$ln={n.bit_length() - 1},r={r},p={p}${_encode(salt)}${_encode(hash_bytes)}"
    return _Parsed(partial(_is_by_passlib, "scrypt", text), costs, 128 * n * r, reads_nul=False)


def _read_argon2(match: re.Match[str]) -> _Parsed:
    kib, passes, lanes = int(match["m"]), int(match["t"]), int(match["p"])
    _within("argon2's memory in KiB", kib, _ARGON2_KIB)
    _within("argon2's passes", passes, _ARGON2_PASSES)
    _within("argon2's lanes", lanes, _ARGON2_LANES)
    _within("argon2's memory in KiB times passes", kib * passes, (1, _ARGON2_KIB_OF_ALL_PASSES))
    if kib < _ARGON2_KIB_A_LANE * lanes:
        raise ValueError(f"argon2's memory is not at least {_ARGON2_KIB_A_LANE} KiB a lane.")
    if len(_decode(match["salt"])) < _ARGON2_SALT_BYTES:
        raise ValueError(f"argon2's salt has not at least {_ARGON2_SALT_BYTES} bytes.")
    if len(_decode(match["hash"])) < _ARGON2_BYTES:
        raise ValueError(f"argon2's hash has not at least {_ARGON2_BYTES} bytes.")
    costs = (
        _Cost("argon2's memory in KiB", kib, _USUAL_MEMORY // 1024),
        _Cost("argon2's memory in KiB times passes", kib * passes, _USUAL_ARGON2_KIB_OF_ALL_PASSES),
    )
    return _Parsed(partial(_is_by_argon2, match["text"]), costs, kib * 1024)


def _pbkdf2(digest: str, iterations: int, salt: str, hash_bytes: bytes) -> _Parsed:
    _within("pbkdf2's iterations", iterations, _PBKDF2_ITERATIONS)
    _sized("pbkdf2's hash", hash_bytes, _DIGEST_BYTES[digest])
    text = f"pbkdf2:{digest}:{iterations}${salt}${hash_bytes.hex()}"
    costs = (_Cost("pbkdf2's iterations", iterations, _USUAL_PBKDF2_ITERATIONS),)
    return _Parsed(partial(_is_by_werkzeug, text), costs, reads_nul=False)


def _scrypt(match: re.Match[str], hash_bytes: bytes) -> _Parsed:
    n, r, p = int(match["n"]), int(match["r"]), int(match["p"])
    costs = _scrypt_costs(n, r, p)
    _sized("scrypt's hash", hash_bytes, _SCRYPT_BYTES)
    text = f"scrypt:{n}:{r}:{p}${match['salt']}${hash_bytes.hex()}"
    return _Parsed(partial(_is_by_werkzeug, text), costs, 128 * n * r, reads_nul=False)


def _scrypt_costs(n: int, r: int, p: int) -> tuple[_Cost, ...]:
    log2_n = n.bit_length() - 1
    if n < _SCRYPT_LEAST_N or n != 1 << log2_n:
        raise ValueError(f"scrypt's N is not a power of two of at least {_SCRYPT_LEAST_N}.")
    if log2_n >= 16 * r:
        raise ValueError("scrypt's N is not less than 2^(16·r).")
    memory = 128 * n * r
    _within("scrypt's p", p, _SCRYPT_P)
    _within("scrypt's memory in bytes", memory, (1, _SCRYPT_MEMORY))
    _within("scrypt's memory in bytes times p", memory * p, (1, _SCRYPT_WORK))
    return (
        _Cost("scrypt's memory in bytes", memory, _USUAL_MEMORY),
        _Cost("scrypt's memory in bytes times p", memory * p, _USUAL_SCRYPT_WORK),
    )


def _within(what: str, value: int, bounds: tuple[int, int]) -> None:
    least, most = bounds
    if not least <= value <= most:
        raise ValueError(f"{what} is not {least} to {most}.")


def _sized(what: str, value: bytes, size: int) -> None:
    if len(value) != size:
        raise ValueError(f"{what} has not {size} bytes.")


def _decode(text: str) -> bytes:
    unpadded = text.rstrip("=")
    try:
        value = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("The password hash holds malformed base64.") from error
    if _encode(value) != unpadded:
        raise ValueError("The password hash holds base64 with unused bits set.")
    return value


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii").rstrip("=")


def _without_unused_bits(match: re.Match[str]) -> str:
    # 22 characters hold the 128 bits of a salt and 4 more, 31 the 184 of a hash and 2 more. Some
    # writers set the unused ones, which bcrypt ignores, and about which passlib warns.
    return _clear(match["salt"], unused=4) + _clear(match["hash"], unused=2)


def _clear(text: str, *, unused: int) -> str:
    last = _BCRYPT_ALPHABET.index(text[-1]) >> unused << unused
    return text[:-1] + _BCRYPT_ALPHABET[last]


def _is_by_bcrypt(text: str, password: str) -> bool:
    return _is_by_passlib("bcrypt", text, password.encode()[:_BCRYPT_BYTES])


def _is_by_passlib(handler: str, text: str, password: str | bytes) -> bool:
    import passlib.exc  # noqa: PLC0415
    import passlib.hash  # noqa: PLC0415

    with _loading_bcrypt:  # passlib, left to load it, asserts that no other thread just has
        passlib.hash.bcrypt.set_backend()
    hasher = getattr(passlib.hash, handler)
    try:
        return bool(hasher.verify(password, text))
    except passlib.exc.PasswordValueError:  # NUL for bcrypt, or more than 4096 characters
        hasher.verify("", text)  # as long as for any other wrong password
        return False


def _is_by_werkzeug(text: str, password: str) -> bool:
    from werkzeug.security import check_password_hash  # noqa: PLC0415

    return check_password_hash(text, password)


def _is_by_argon2(text: str, password: str) -> bool:
    from argon2 import PasswordHasher  # noqa: PLC0415
    from argon2.exceptions import VerifyMismatchError  # noqa: PLC0415

    try:
        return PasswordHasher().verify(text, password)
    except VerifyMismatchError:
        return False


_NUMBER = r"[1-9][0-9]*"
_TEXT_SALT = r"(?P<salt>[^$]+)"
_BASE64_SALT = r"(?P<salt>[A-Za-z0-9+/]+={0,2})"
_BASE64_HASH = r"(?P<hash>[A-Za-z0-9+/]+={0,2})"
_HEX_HASH = r"(?P<hash>(?:[0-9a-f]{2})+)"
_BCRYPT = (
    r"(?P<begin>\$2[aby]\$(?P<cost>[0-9]{2})\$)"
    r"(?P<salt>[./A-Za-z0-9]{22})(?P<hash>[./A-Za-z0-9]{31})"
)

_FORMATS = (
    _Format(
        "bcrypt",
        ("$2a$", "$2b$", "$2y$", "bcrypt$"),
        re.compile(rf"(?:bcrypt\$)?{_BCRYPT}"),
        _read_bcrypt,
    ),
    _Format(
        "Django's bcrypt_sha256",
        ("bcrypt_sha256$",),
        re.compile(rf"bcrypt_sha256\${_BCRYPT}"),
        _read_django_bcrypt_sha256,
    ),
    _Format(
        "passlib's bcrypt_sha256",
        ("$bcrypt-sha256$",),
        # The last characters of salt and hash are those without unused bits: passlib writes no
        # others, and its HMAC is keyed with the salt's text.
        re.compile(
            rf"\$bcrypt-sha256\$(?:v=2,t=2b,r=|2[ab],)(?P<cost>{_NUMBER})"
            r"\$[./A-Za-z0-9]{21}[.Oeu]\$[./A-Za-z0-9]{30}[.CGKOSWaeimquy26]"
        ),
        _read_passlib_bcrypt_sha256,
    ),
    _Format(
        "Werkzeug's pbkdf2",
        ("pbkdf2:",),
        re.compile(
            rf"pbkdf2:(?P<digest>sha1|sha256|sha512):(?P<iterations>{_NUMBER})"
            rf"\${_TEXT_SALT}\${_HEX_HASH}"
        ),
        _read_werkzeug_pbkdf2,
    ),
    _Format(
        "Django's pbkdf2",
        ("pbkdf2_sha1$", "pbkdf2_sha256$"),
        re.compile(
            rf"pbkdf2_(?P<digest>sha1|sha256)\$(?P<iterations>{_NUMBER})"
            rf"\${_TEXT_SALT}\${_BASE64_HASH}"
        ),
        _read_django_pbkdf2,
    ),
    _Format(
        "Werkzeug's scrypt",
        ("scrypt:",),
        re.compile(
            rf"scrypt:(?P<n>{_NUMBER}):(?P<r>{_NUMBER}):(?P<p>{_NUMBER})\${_TEXT_SALT}\${_HEX_HASH}"
        ),
        _read_werkzeug_scrypt,
    ),
    _Format(
        "Django's scrypt",
        ("scrypt$",),
        re.compile(
            rf"scrypt\$(?P<n>{_NUMBER})\${_TEXT_SALT}"
            rf"\$(?P<r>{_NUMBER})\$(?P<p>{_NUMBER})\${_BASE64_HASH}"
        ),
        _read_django_scrypt,
    ),
    _Format(
        "scrypt",
        ("$scrypt$",),
        re.compile(
            rf"\$scrypt\$ln=(?P<ln>{_NUMBER}),r=(?P<r>{_NUMBER}),p=(?P<p>{_NUMBER})"
            rf"\${_BASE64_SALT}\${_BASE64_HASH}"
        ),
        _read_phc_scrypt,
    ),
    _Format(
        "argon2",
        ("$argon2i$", "$argon2id$", "argon2$"),
        re.compile(
            r"(?:argon2)?(?P<text>\$argon2id?\$(?:v=(?:16|19)\$)?"
            rf"m=(?P<m>{_NUMBER}),t=(?P<t>{_NUMBER}),p=(?P<p>{_NUMBER})"
            r"\$(?P<salt>[A-Za-z0-9+/]+)\$(?P<hash>[A-Za-z0-9+/]+))"
        ),
        _read_argon2,
    ),
)

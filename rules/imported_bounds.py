"""Bounds on the parameters of imported password hashes.

Two bounds apply to each parameter: one that no hash may exceed, and a lower one that an import
exceeds only if the administrator allows expensive hashes. The lower bounds are above what OWASP
recommends, and take about a second on a core of 2020, so that every rejection of a password can be
made to take as long.
"""

from dataclasses import dataclass

_BCRYPT_COST = (4, 18)
_USUAL_BCRYPT_COST = 14

_PBKDF2_ITERATIONS = (1, 10_000_000)
_USUAL_PBKDF2_ITERATIONS = 2_000_000

_USUAL_MEMORY = 128 * 2**20

_SCRYPT_MIN_N = 128  # with less, the memory limit that Werkzeug gives OpenSSL is too low
_SCRYPT_P = (1, 16)
_SCRYPT_MEMORY = 256 * 2**20
_SCRYPT_WORK = 2**30  # memory times p, which Werkzeug passes to OpenSSL, whose limit is 2^31
_USUAL_SCRYPT_WORK = 256 * 2**20

_ARGON2_KIB = (8, 2**20)
_ARGON2_PASSES = (1, 32)
_ARGON2_LANES = (1, 64)
_ARGON2_TOTAL_KIB = 4 * 2**20  # memory times passes
_ARGON2_KIB_PER_LANE = 8
_ARGON2_MIN_SALT_BYTES = 8
_ARGON2_MIN_HASH_BYTES = 16
_USUAL_ARGON2_TOTAL_KIB = 512 * 2**10


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost parameter, and the maximum that an import accepts by default."""

    name: str
    value: int
    usual_max: int

    def check_usual(self) -> None:
        """Raise ValueError if the value exceeds the default maximum."""
        if self.value > self.usual_max:
            raise ValueError(
                f"{self.name} is over {self.usual_max}, the maximum that is accepted by default."
            )


def bcrypt_costs(cost: int) -> tuple[Cost, ...]:
    """Return the costs of bcrypt; raises ValueError if they are out of bounds."""
    _check_range("bcrypt's cost", cost, _BCRYPT_COST)
    return (Cost("bcrypt's cost", cost, _USUAL_BCRYPT_COST),)


def pbkdf2_costs(iterations: int) -> tuple[Cost, ...]:
    """Return the costs of PBKDF2; raises ValueError if they are out of bounds."""
    _check_range("pbkdf2's iterations", iterations, _PBKDF2_ITERATIONS)
    return (Cost("pbkdf2's iterations", iterations, _USUAL_PBKDF2_ITERATIONS),)


def scrypt_costs(n: int, r: int, p: int) -> tuple[Cost, ...]:
    """Return the costs of scrypt; raises ValueError if they are out of bounds."""
    log2_n = n.bit_length() - 1
    if n < _SCRYPT_MIN_N or n != 1 << log2_n:
        raise ValueError(f"scrypt's N is not a power of two of at least {_SCRYPT_MIN_N}.")
    if log2_n >= 16 * r:
        raise ValueError("scrypt's N is not less than 2^(16·r).")
    memory = 128 * n * r
    _check_range("scrypt's p", p, _SCRYPT_P)
    _check_range("scrypt's memory in bytes", memory, (1, _SCRYPT_MEMORY))
    _check_range("scrypt's memory in bytes times p", memory * p, (1, _SCRYPT_WORK))
    return (
        Cost("scrypt's memory in bytes", memory, _USUAL_MEMORY),
        Cost("scrypt's memory in bytes times p", memory * p, _USUAL_SCRYPT_WORK),
    )


def argon2_costs(kib: int, passes: int, lanes: int) -> tuple[Cost, ...]:
    """Return the costs of Argon2; raises ValueError if they are out of bounds."""
    _check_range("argon2's memory in KiB", kib, _ARGON2_KIB)
    _check_range("argon2's passes", passes, _ARGON2_PASSES)
    _check_range("argon2's lanes", lanes, _ARGON2_LANES)
    _check_range("argon2's memory in KiB times passes", kib * passes, (1, _ARGON2_TOTAL_KIB))
    if kib < _ARGON2_KIB_PER_LANE * lanes:
        raise ValueError(f"argon2's memory is less than {_ARGON2_KIB_PER_LANE} KiB per lane.")
    return (
        Cost("argon2's memory in KiB", kib, _USUAL_MEMORY // 1024),
        Cost("argon2's memory in KiB times passes", kib * passes, _USUAL_ARGON2_TOTAL_KIB),
    )


def check_argon2_sizes(salt: bytes, digest: bytes) -> None:
    """Raise ValueError if the salt or the hash of Argon2 is too short."""
    if len(salt) < _ARGON2_MIN_SALT_BYTES:
        raise ValueError(f"argon2's salt is shorter than {_ARGON2_MIN_SALT_BYTES} bytes.")
    if len(digest) < _ARGON2_MIN_HASH_BYTES:
        raise ValueError(f"argon2's hash is shorter than {_ARGON2_MIN_HASH_BYTES} bytes.")


def check_size(name: str, value: bytes, size: int) -> None:
    """Raise ValueError if a value does not have the size that its format requires."""
    if len(value) != size:
        raise ValueError(f"{name} is not {size} bytes long.")


def _check_range(name: str, value: int, bounds: tuple[int, int]) -> None:
    minimum, maximum = bounds
    if not minimum <= value <= maximum:
        raise ValueError(f"{name} is not {minimum} to {maximum}.")

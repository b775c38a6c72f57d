"""The users and tokens in the databases, computed from their numbers, in SQL as in Python.

User N and token N exist for every N from 1 on. Token N belongs to user N; beyond the last user, the
owners start over with the first one.
"""

import hashlib
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rules.tokens import TokenClaims, TokenSigner

USERS = 100_000
# Users with their own password: hashing 100,000 passwords at cost 12 would take hours.
PASSWORD_USERS = 50
# How many tokens a load rotates through, spread over all rows.
ROTATED = 20_000
SIGNING_KEY = "WT0UmSlqPzR7yQ3cEokd5bXn1vHfGaJ9uLgB2iMKsNw"  # in production, it must look random
# Far in the future, so that a prepared database stays valid and its rows are not cleaned up.
EXPIRES_AT = datetime(2040, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The email address and the password of a user."""

    email: str
    password: str


def email(number: int) -> str:
    """Return the email address of a user."""
    return f"user{number}@example.com"


def password_credentials() -> list[Credentials]:
    """Return the credentials of the users with their own password, in order."""
    return [
        Credentials(email(number), f"correct horse battery {number}")
        for number in range(1, PASSWORD_USERS + 1)
    ]


def token_digest(number: int) -> str:
    """Return the id of a token in hexadecimal: md5('token N')."""
    return hashlib.md5(f"token {number}".encode(), usedforsecurity=False).hexdigest()


def spread(rows: int, count: int = ROTATED) -> list[int]:
    """Return token numbers spread evenly over all rows, in a reproducible order."""
    numbers = list(range(1, rows + 1, max(1, rows // count)))[:count]
    random.Random(rows).shuffle(numbers)
    return numbers


def signed_tokens(numbers: Sequence[int]) -> list[str]:
    """Return tokens by their numbers, signed like those of the server."""
    # Signing does not read the clock.
    signer = TokenSigner([SIGNING_KEY], clock=EXPIRES_AT.timestamp)
    expires_at = int(EXPIRES_AT.timestamp())
    return [
        signer.issue(TokenClaims(str(uuid.UUID(token_digest(number))), expires_at))
        for number in numbers
    ]

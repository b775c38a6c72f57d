"""Who is in the databases: everything follows from a number, in SQL and here alike.

User and token N exist for N from 1 on; token N belongs to user N, and beyond the last user it
starts again with the first.
"""

import hashlib
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rules.tokens import TokenClaims, TokenSigner

USERS = 100_000
# Those who can log in: a hash of cost 12 for each of 100,000 users would take hours.
PASSWORD_USERS = 50
# How many tokens a load rotates over, spread over all rows.
ROTATED = 20_000
SIGNING_KEY = "WT0UmSlqPzR7yQ3cEokd5bXn1vHfGaJ9uLgB2iMKsNw"  # in production, it must look random
# Far away, so that a prepared database stays good and nobody cleans its rows up.
EXPIRES_AT = datetime(2040, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Person:
    """A user who can log in."""

    email: str
    password: str


def email(number: int) -> str:
    """Return the e-mail address of a user."""
    return f"user{number}@example.com"


def password_people() -> list[Person]:
    """Return the users who can log in, the first one first."""
    return [
        Person(email(number), f"correct horse battery {number}")
        for number in range(1, PASSWORD_USERS + 1)
    ]


def token_digest(number: int) -> str:
    """Return what stands for the id of a token: md5('token N') in hexadecimal."""
    return hashlib.md5(f"token {number}".encode(), usedforsecurity=False).hexdigest()


def spread(rows: int, count: int = ROTATED) -> list[int]:
    """Return numbers of tokens spread evenly over all rows, in an order that is always the same."""
    numbers = list(range(1, rows + 1, max(1, rows // count)))[:count]
    random.Random(rows).shuffle(numbers)  # noqa: S311 - no secret
    return numbers


def signed_tokens(numbers: Sequence[int]) -> list[str]:
    """Return the tokens of these numbers as the server would have issued them."""
    # Signing asks no clock.
    signer = TokenSigner([SIGNING_KEY], clock=EXPIRES_AT.timestamp)
    expires_at = int(EXPIRES_AT.timestamp())
    return [
        signer.issue(TokenClaims(str(uuid.UUID(token_digest(number))), expires_at))
        for number in numbers
    ]

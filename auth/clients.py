"""Services that may ask about tokens: their ids and secrets."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from auth.credentials import Credentials, PasswordCredentials
from auth.database import answer, connection_to
from auth.errors import CredentialsInvalid, CredentialsMissing
from db import clients
from db.lookups import Lookups
from db.pool import Database
from db.rows import ClientRow

_ID_BYTES = 8
_SECRET_BYTES = 32
# Compared where there is no such client, so that this takes as long as where there is one.
_NO_DIGEST = bytes(32)
_NOT_VALID = "Check the client's id and its secret."


class ClientNameTaken(Exception):
    """There is a client of that name already."""


class ClientNotFound(Exception):
    """There is no client of that name."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A client's id and its new secret, which is told once and kept nowhere."""

    client_id: str
    secret: str = field(repr=False)


class Clients:
    """What can be done with clients. ``clock`` returns the time in UTC seconds."""

    def __init__(self, *, database: Database, lookups: Lookups, clock: Callable[[], float]) -> None:
        self._database = database
        self._lookups = lookups
        self._clock = clock

    async def authenticate(self, credentials: Credentials | None) -> str:
        """Return the id of the client whose credentials these are; raises Unauthorized."""
        if credentials is None:
            raise CredentialsMissing("Send Basic credentials: the client's id and its secret.")
        if not isinstance(credentials, PasswordCredentials):
            raise CredentialsInvalid("Send the client's id and its secret, not a token.")
        stored = await answer(self._lookups.secrets_of_clients.find(credentials.email))
        digest = _digest(credentials.password)
        is_right = hmac.compare_digest(digest, stored.digest if stored else _NO_DIGEST)
        old = stored.old_digest if stored else None
        was_right = hmac.compare_digest(digest, old or _NO_DIGEST)
        if stored is None:
            raise CredentialsInvalid(_NOT_VALID)
        is_still_good = stored.old_until is not None and self._now() < stored.old_until
        if not is_right and not (was_right and is_still_good):
            raise CredentialsInvalid(_NOT_VALID)
        return credentials.email

    async def add(self, name: str) -> ClientSecret:
        """Make a client; raises ClientNameTaken."""
        made = ClientSecret(secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES))
        async with connection_to(self._database) as connection:
            inserted = await clients.insert_client(
                connection, made.client_id, name=name, digest=_digest(made.secret), at=self._now()
            )
        if not inserted:
            raise ClientNameTaken
        return made

    async def find_all(self) -> list[ClientRow]:
        """Return every client, by name."""
        async with connection_to(self._database) as connection:
            return await clients.find_all(connection)

    async def rotate(self, name: str, *, keep_old_seconds: int) -> ClientSecret:
        """Give a client a new secret; the old one stays good for a time. Or ClientNotFound."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        now = self._now()
        async with connection_to(self._database) as connection:
            client_id = await clients.replace_secret(
                connection,
                name,
                digest=_digest(secret),
                old_until=now + timedelta(seconds=keep_old_seconds),
                at=now,
            )
        if client_id is None:
            raise ClientNotFound
        return ClientSecret(client_id, secret)

    async def remove(self, name: str) -> None:
        """Remove a client, whose secrets are good no more; raises ClientNotFound."""
        async with connection_to(self._database) as connection:
            if not await clients.delete_client(connection, name):
                raise ClientNotFound

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

"""Services that may ask about tokens: their ids and secrets."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from db import clients
from db.lookups import Lookups
from db.pool import Connection, Database
from db.rows import ClientRow, ClientSecretRow
from rules.credentials import Credentials, PasswordCredentials
from rules.errors import CredentialsInvalid, CredentialsMissing
from rules.origin import LocalOrigin, Origin
from services.audit import AuditTrail, Kind
from services.throttle import Throttle
from services.transactions import answer, connection_to, transaction_on

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
    """What can be done with clients."""

    def __init__(
        self,
        *,
        database: Database,
        lookups: Lookups,
        throttle: Throttle,
        audit: AuditTrail,
        administration: LocalOrigin,
    ) -> None:
        self._database = database
        self._lookups = lookups
        self._throttle = throttle
        self._audit = audit
        self._administration = administration

    async def authenticate(self, credentials: Credentials | None, origin: Origin) -> str:
        """Return the id of the client whose credentials these are.

        Raises Unauthorized, or TooManyAttempts.
        """
        if credentials is None:
            raise CredentialsMissing("Send Basic credentials: the client's id and its secret.")
        if not isinstance(credentials, PasswordCredentials):
            raise CredentialsInvalid("Send the client's id and its secret, not a token.")
        client_id = credentials.email
        stored = await answer(self._lookups.secrets_of_clients.find(client_id))
        # Before any count is looked at: it takes no hash, no number of guesses helps, and the
        # failures of others must not keep a service out.
        if _is_right(credentials.password, stored):
            return client_id
        tried = self._throttle.try_of_client(client_id, origin.ip)
        await self._throttle.check(tried)
        await self._throttle.charge(tried)
        known = client_id if stored else None
        await self._audit.record(Kind.CLIENT_FAILED, origin, client_id=known)
        raise CredentialsInvalid(_NOT_VALID)

    async def add(self, name: str) -> ClientSecret:
        """Make a client; raises ClientNameTaken."""
        made = ClientSecret(secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES))
        async with transaction_on(self._database) as connection:
            inserted = await clients.insert_client(
                connection, made.client_id, name=name, digest=_digest(made.secret)
            )
            if not inserted:
                raise ClientNameTaken
            await self._write(connection, Kind.CLIENT_ADDED, made.client_id)
        return made

    async def find_all(self) -> list[ClientRow]:
        """Return every client, by name."""
        async with connection_to(self._database) as connection:
            return await clients.find_all(connection)

    async def rotate(self, name: str, *, keep_old_seconds: int) -> ClientSecret:
        """Give a client a new secret; the old one stays good for a time. Or ClientNotFound."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        async with transaction_on(self._database) as connection:
            client_id = await clients.replace_secret(
                connection, name, digest=_digest(secret), keep_old_seconds=keep_old_seconds
            )
            if client_id is None:
                raise ClientNotFound
            await self._write(connection, Kind.CLIENT_SECRET_REPLACED, client_id)
        return ClientSecret(client_id, secret)

    async def remove(self, name: str) -> None:
        """Remove a client, whose secrets are good no more; raises ClientNotFound."""
        async with transaction_on(self._database) as connection:
            client_id = await clients.delete_client(connection, name)
            if client_id is None:
                raise ClientNotFound
            await self._write(connection, Kind.CLIENT_REMOVED, client_id)

    async def _write(self, connection: Connection, kind: Kind, client_id: str) -> None:
        await self._audit.write(connection, kind, self._administration, client_id=client_id)


def _is_right(secret: str, stored: ClientSecretRow | None) -> bool:
    digest = _digest(secret)
    is_right = hmac.compare_digest(digest, stored.digest if stored else _NO_DIGEST)
    old = stored.old_digest if stored else None
    was_right = hmac.compare_digest(digest, old or _NO_DIGEST)
    return stored is not None and (is_right or was_right)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

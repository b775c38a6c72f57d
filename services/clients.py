"""Clients: services that may introspect and revoke tokens, by an id and a secret."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from db import clients
from db.rows import ClientRow, ClientSecretRow
from rules.credentials import Credentials, PasswordCredentials
from rules.errors import CredentialsInvalid, CredentialsMissing
from rules.origin import LocalOrigin, Origin
from services.core import Core
from services.event_kinds import EventKind
from services.throttle import Throttle
from services.transactions import Transaction, connection_to, result_of, transaction_on

_ID_BYTES = 8
_SECRET_BYTES = 32
# Compared for an unknown client, so that this takes as long as for an existing one.
_NO_DIGEST = bytes(32)
CREDENTIALS_WANTED = "Send Basic credentials: the client's id and its secret."
_NOT_VALID = "Check the client's id and its secret."


class ClientNameTaken(Exception):
    """A client of that name already exists."""


class ClientNotFound(Exception):
    """No client has that name."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A client's id and its new secret, which is shown once and not stored."""

    client_id: str
    secret: str = field(repr=False)


class Clients:
    """Authenticates clients, and administers them; ``origin`` is that of the administrator."""

    def __init__(self, core: Core, throttle: Throttle, origin: LocalOrigin) -> None:
        self._database = core.database
        self._lookups = core.lookups
        self._audit = core.audit
        self._throttle = throttle
        self._origin = origin

    async def authenticate(self, credentials: Credentials | None, origin: Origin) -> str:
        """Return the id of the client with these credentials.

        Raises Unauthorized, or TooManyAttempts.
        """
        if credentials is None:
            raise CredentialsMissing(CREDENTIALS_WANTED)
        if not isinstance(credentials, PasswordCredentials):
            raise CredentialsInvalid("Send the client's id and its secret, not a token.")
        client_id = credentials.email
        stored = await result_of(self._lookups.secrets_of_clients.find(client_id))
        # Before any count is read: the comparison needs no password hash, the secret cannot be
        # guessed, and the failures of others must not shut out a service.
        if _is_right(credentials.password, stored):
            return client_id
        attempt = self._throttle.client_attempt(client_id, origin.ip)
        await self._throttle.check(attempt)
        await self._throttle.record_failure(attempt)
        known = client_id if stored else None
        await self._audit.record(EventKind.CLIENT_FAILED, origin, client_id=known)
        raise CredentialsInvalid(_NOT_VALID)

    async def add(self, name: str) -> ClientSecret:
        """Create a client; raises ClientNameTaken."""
        created = ClientSecret(secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES))
        async with transaction_on(self._database) as transaction:
            inserted = await clients.insert_client(
                transaction.connection,
                created.client_id,
                name=name,
                digest=_digest(created.secret),
            )
            if not inserted:
                raise ClientNameTaken
            await self._write(transaction, EventKind.CLIENT_ADDED, created.client_id)
        return created

    async def find_all(self) -> list[ClientRow]:
        """Return every client, by name."""
        async with connection_to(self._database) as connection:
            return await clients.find_all(connection)

    async def rotate(self, name: str, *, keep_old_seconds: int) -> ClientSecret:
        """Replace the secret of a client; the old one stays valid for a time.

        Raises ClientNotFound.
        """
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        async with transaction_on(self._database) as transaction:
            client_id = await clients.replace_secret(
                transaction.connection,
                name,
                digest=_digest(secret),
                keep_old_seconds=keep_old_seconds,
            )
            if client_id is None:
                raise ClientNotFound
            await self._write(transaction, EventKind.CLIENT_SECRET_REPLACED, client_id)
        return ClientSecret(client_id, secret)

    async def remove(self, name: str) -> None:
        """Delete a client and its secrets; raises ClientNotFound."""
        async with transaction_on(self._database) as transaction:
            client_id = await clients.delete_client(transaction.connection, name)
            if client_id is None:
                raise ClientNotFound
            await self._write(transaction, EventKind.CLIENT_REMOVED, client_id)

    async def _write(self, transaction: Transaction, kind: EventKind, client_id: str) -> None:
        await self._audit.write(transaction, kind, self._origin, client_id=client_id)


def _is_right(secret: str, stored: ClientSecretRow | None) -> bool:
    digest = _digest(secret)
    is_current = hmac.compare_digest(digest, stored.digest if stored else _NO_DIGEST)
    old = stored.old_digest if stored else None
    is_old = hmac.compare_digest(digest, old or _NO_DIGEST)
    return stored is not None and (is_current or is_old)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

"""Accounts: register, log in, identify, update, delete. The only place where rules meet."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TypeVar

from auth import emails, names
from auth.credentials import Credentials, PasswordCredentials, TokenCredentials
from auth.errors import (
    CredentialsInvalid,
    CredentialsMissing,
    DatabaseUnavailable,
    EmailTaken,
    TokenInvalid,
    Unauthorized,
)
from auth.field_errors import FieldErrors
from auth.password_rules import PasswordRules
from auth.passwords import PasswordHasher
from auth.remembered import RememberedPasswords
from auth.tokens import TokenClaims, TokenSigner
from db import tokens, users
from db.errors import Unavailable
from db.lookups import Lookups
from db.pool import Connection, Database
from db.rows import PasswordRow, UserRow

Found = TypeVar("Found")

READY_SECONDS = 1.0
_NO_TOKEN = str(uuid.UUID(int=0))
_NO_RENEWAL = "Log in with e-mail and password: a token cannot renew itself."


class Unset(Enum):
    """The value of a field that a change leaves as it is, since None is a value."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True)
class PasswordProof:
    """The password that somebody proved to know, and which version of it that was."""

    password: str = field(repr=False)
    stored: PasswordRow


@dataclass(frozen=True, slots=True)
class TokenProof:
    """The id of the token that somebody presented."""

    token_id: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking, and how that was proved."""

    user: UserRow
    proof: PasswordProof | TokenProof


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token, its expiry, and how many seconds that is from now."""

    token: str = field(repr=False)
    expires_at: datetime
    expires_in: int


class Accounts:
    """What can be done with accounts.

    ``clock`` returns the time in UTC seconds; ``lifetime_seconds`` is that of new tokens.
    """

    def __init__(
        self,
        *,
        database: Database,
        lookups: Lookups,
        hasher: PasswordHasher,
        remembered: RememberedPasswords,
        rules: PasswordRules,
        signer: TokenSigner,
        clock: Callable[[], float],
        lifetime_seconds: int,
    ) -> None:
        self._database = database
        self._lookups = lookups
        self._hasher = hasher
        self._remembered = remembered
        self._rules = rules
        self._signer = signer
        self._clock = clock
        self._lifetime_seconds = lifetime_seconds

    async def register(self, *, email: str, password: str, name: str | None) -> UserRow:
        """Create a user. Raises InvalidFields with all that is wrong, or EmailTaken."""
        errors = FieldErrors()
        address = errors.check("email", emails.normalize_email, email) or ""
        clean_name = errors.check("name", names.normalize_name, name)
        self._check_password(errors, password, own_words=(address, name or ""))
        errors.raise_if_any()
        with self._hasher.place():
            password_hash = await self._hasher.hash(password)
        async with self._connection() as connection:
            user = await users.insert_user(
                connection,
                email=address,
                email_key=emails.email_key(address),
                name=clean_name,
                password_hash=password_hash,
            )
        if user is None:
            raise EmailTaken
        return user

    async def identify(
        self, credentials: Credentials | None, *, password_only: bool = False
    ) -> Identity:
        """Return whose credentials these are; raises a subclass of Unauthorized.

        ``password_only`` refuses a token, however good.
        """
        if credentials is None:
            raise CredentialsMissing
        if isinstance(credentials, TokenCredentials):
            if password_only:
                raise TokenInvalid(_NO_RENEWAL)
            return await self._identify_by_token(credentials.token)
        return await self._identify_by_password(credentials, may_be_remembered=not password_only)

    async def log_in(self, identity: Identity) -> IssuedToken:
        """Issue a token to somebody who proved to know the password.

        A token does not do, so that a stolen one cannot renew itself: TokenInvalid. A
        password that was changed since it was proved does not either: CredentialsInvalid.
        """
        if not isinstance(identity.proof, PasswordProof):
            raise TokenInvalid(_NO_RENEWAL)
        await self._renew_hash(identity.proof)
        now = int(self._clock())
        claims = TokenClaims(str(uuid.uuid4()), now + self._lifetime_seconds)
        expires_at = datetime.fromtimestamp(claims.expires_at, UTC)
        async with self._connection() as connection:
            inserted = await tokens.insert_token(
                connection,
                claims.token_id,
                user_id=identity.user.id,
                password_version=identity.proof.stored.password_version,
                created_at=datetime.fromtimestamp(now, UTC),
                expires_at=expires_at,
            )
        if not inserted:
            raise CredentialsInvalid
        return IssuedToken(self._signer.issue(claims), expires_at, self._lifetime_seconds)

    async def update(
        self,
        identity: Identity,
        *,
        name: str | Unset | None = UNSET,
        password: str | Unset = UNSET,
    ) -> UserRow:
        """Change name, password or both. Raises InvalidFields with all that is wrong.

        A new password revokes all tokens of the user but the one that was presented.
        """
        errors = FieldErrors()
        clean_name: str | Unset | None = UNSET
        if name is not UNSET:
            clean_name = errors.check("name", names.normalize_name, name)
        if password is not UNSET:
            own_name = identity.user.name if name is UNSET else name
            self._check_password(errors, password, own_words=(identity.user.email, own_name or ""))
        errors.raise_if_any()
        # Hashed before a connection is taken: nobody waits for one meanwhile.
        password_hash: str | Unset = UNSET
        if password is not UNSET:
            with self._hasher.place():
                password_hash = await self._hasher.hash(password)
        async with self._transaction() as connection:
            user = await self._lock(connection, identity)
            if clean_name is not UNSET:
                user = await users.update_name(connection, user.id, clean_name)
            if password_hash is not UNSET:
                user = await users.update_password(connection, user.id, password_hash)
                kept = identity.proof.token_id if isinstance(identity.proof, TokenProof) else None
                await tokens.revoke_all(connection, user.id, at=self._now(), keep=kept)
        return user

    async def delete(self, identity: Identity) -> None:
        """Delete the user and revoke every token."""
        async with self._transaction() as connection:
            user = await self._lock(connection, identity)
            await tokens.revoke_all(connection, user.id, at=self._now())
            await users.delete_user(connection, user.id)

    def abandon(self, task: "asyncio.Task[object]") -> None:
        """Drop the hash that a task waits for, unless it has begun: its client went away."""
        self._hasher.abandon(task)

    async def check_ready(self) -> None:
        """Return when Postgres answers a look-up; raises DatabaseUnavailable after a second."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await _answer(self._lookups.users_of_tokens.find(_NO_TOKEN))
        except TimeoutError as error:
            raise DatabaseUnavailable from error

    async def _identify_by_token(self, token: str) -> Identity:
        claims = self._signer.read(token)
        user = await _answer(self._lookups.users_of_tokens.find(claims.token_id))
        if user is None:
            raise TokenInvalid
        return Identity(user, TokenProof(claims.token_id))

    async def _identify_by_password(
        self, credentials: PasswordCredentials, *, may_be_remembered: bool
    ) -> Identity:
        password = credentials.password
        key = emails.lookup_key(credentials.email)
        stored = await _answer(self._lookups.users_by_email.find(key))
        stored_hash = stored.password_hash if stored else None
        if may_be_remembered and stored and self._remembered.holds(password, stored.password_hash):
            return Identity(stored.user, PasswordProof(password, stored))
        with self._hasher.place():
            # Verified even where there is nobody: the time must not tell.
            is_right = await self._hasher.verify(password, stored_hash)
        if stored is None or not is_right:
            raise CredentialsInvalid
        self._remembered.add(password, stored.password_hash)
        return Identity(stored.user, PasswordProof(password, stored))

    async def _renew_hash(self, proof: PasswordProof) -> None:
        """Store a hash of another cost, unless others wait for a worker: the next log-in may."""
        old = proof.stored.password_hash
        if not self._hasher.needs_rehash(old) or not self._hasher.has_free_worker:
            return
        with self._hasher.place():
            new = await self._hasher.hash(proof.password)
        async with self._connection() as connection:
            await users.renew_hash(connection, proof.stored.user.id, old=old, new=new)

    async def _lock(self, connection: Connection, identity: Identity) -> UserRow:
        """Lock the user's row; raises unless what proved the identity still holds.

        Between the proof and the lock lies the time of a hash: somebody may have changed the
        password, or revoked the token, to keep out exactly whom this request comes from.
        """
        current = await users.find_for_update(connection, identity.user.id)
        match identity.proof:
            case TokenProof(token_id):
                refusal: Unauthorized = TokenInvalid()
                holds = await tokens.is_live(connection, token_id, identity.user.id)
            case PasswordProof(_, stored):
                refusal = CredentialsInvalid()
                holds = current is not None and current.password_version == stored.password_version
        if current is None or not holds:
            raise refusal
        return current.user

    def _check_password(
        self, errors: FieldErrors, password: str, *, own_words: tuple[str, ...]
    ) -> None:
        errors.check(
            "password", lambda text: self._rules.check(text, own_words=own_words), password
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with _unavailable():
            async with self._database.connection() as connection:
                yield connection

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        with _unavailable():
            async with self._database.transaction() as connection:
                yield connection


async def _answer(asked: Awaitable[Found]) -> Found:
    """Return what a look-up finds; raises DatabaseUnavailable.

    On the way of every request, where the context manager below would be felt.
    """
    try:
        return await asked
    except Unavailable as error:
        raise DatabaseUnavailable from error


@contextmanager
def _unavailable() -> Iterator[None]:
    """Raise DatabaseUnavailable where the database says Unavailable."""
    try:
        yield
    except Unavailable as error:
        raise DatabaseUnavailable from error

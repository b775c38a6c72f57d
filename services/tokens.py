"""Tokens as people and services use them: log in, log out, list, end, introspect."""

import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from db import tokens, users
from db.pool import Connection
from db.rows import TokenRow, UserRow
from rules import emails
from rules.errors import CredentialsInvalid, NotFound, TokenInvalid
from rules.origin import Origin
from rules.passwords import PasswordHasher
from rules.tokens import TokenClaims, TokenSigner
from rules.turns import Caller
from rules.write_turns import WriteTurns
from services.audit import Kind
from services.confirmation import Confirmation
from services.core import Core
from services.counts import Reason, TokenCounts
from services.identities import NO_RENEWAL, WRONG_KIND, Identities, Identity, PasswordProof
from services.transactions import answer, connection_to, transaction_on
from services.usage import TokenUsage
from settings.model import TokenSettings


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token, its expiry, and how many seconds that is from now."""

    token: str = field(repr=False)
    expires_at: datetime
    expires_in: int


@dataclass(frozen=True, slots=True)
class Introspection:
    """A token that is good: whose it is, and from when to when, in UTC seconds."""

    token_id: str
    user: UserRow
    issued_at: int
    expires_at: int


class Sessions:
    """Issues, lists, introspects and revokes tokens."""

    def __init__(
        self,
        core: Core,
        *,
        identities: Identities,
        confirmation: Confirmation,
        hasher: PasswordHasher,
        signer: TokenSigner,
        usage: TokenUsage,
        writes: WriteTurns,
        limits: TokenSettings,
        counts: TokenCounts,
    ) -> None:
        self._database = core.database
        self._lookups = core.lookups
        self._audit = core.audit
        self._clock = core.clock
        self._identities = identities
        self._confirmation = confirmation
        self._hasher = hasher
        self._signer = signer
        self._usage = usage
        self._writes = writes
        self._lifetime_seconds = limits.lifetime_seconds
        self._max_per_user = limits.max_per_user
        self._counts = counts

    async def log_in(self, identity: Identity, origin: Origin) -> IssuedToken:
        """Issue a token to somebody who proved to know the password.

        A token does not do, so that a stolen one cannot renew itself: TokenInvalid. A
        password that was changed since it was proved does not either: CredentialsInvalid.
        Whoever has ``max_per_user`` tokens loses the oldest.
        """
        if not isinstance(identity.proof, PasswordProof):
            raise TokenInvalid(NO_RENEWAL)
        await self._renew_hash(identity.proof, origin)
        now = self._now()
        # In the form of a UUID; but of one, six bits are not random.
        token_id = uuid.UUID(bytes=secrets.token_bytes(16))
        claims = TokenClaims(str(token_id), int(now.timestamp()) + self._lifetime_seconds)
        expires_at = datetime.fromtimestamp(claims.expires_at, UTC)
        # Signed first: a key that goes meanwhile is not one that the row does not name.
        key_id, token = self._signer.key_id, self._signer.issue(claims)
        user_id = identity.user.id
        async with transaction_on(self._database) as connection:
            inserted = await tokens.insert_token(
                connection,
                claims.token_id,
                user_id=user_id,
                password_version=identity.proof.stored.password_version,
                created_at=now,
                expires_at=expires_at,
                key_id=key_id,
                user_agent=origin.user_agent,
                ip=origin.user_ip,
            )
            if not inserted:
                raise CredentialsInvalid
            surplus = await tokens.revoke_surplus(
                connection, user_id, newest=claims.token_id, limit=self._max_per_user, at=now
            )
            await self._audit.write(connection, Kind.LOGGED_IN, origin, user=identity.user)
        self._counts.issued += 1
        self._counts.revoke(Reason.SURPLUS, surplus)
        return IssuedToken(token, expires_at, self._lifetime_seconds)

    async def log_out(self, identity: Identity, origin: Origin) -> None:
        """Revoke the token that was presented; raises CredentialsInvalid for a password."""
        if identity.token_id is None:
            raise CredentialsInvalid(WRONG_KIND)
        # No turn: it locks the row of the token alone, and must not be refused.
        async with transaction_on(self._database) as connection:
            ended = await tokens.revoke(connection, identity.token_id, at=self._now())
            if ended:
                await self._audit.write(connection, Kind.TOKEN_ENDED, origin, user=identity.user)
        if ended:
            self._counts.revoke(Reason.LOGGED_OUT)

    async def find_all(self, identity: Identity) -> list[TokenRow]:
        """Return the good tokens of whoever asks, newest first."""
        async with connection_to(self._database) as connection:
            return await tokens.find_valid(connection, identity.user.id, at=self._now())

    async def end(
        self,
        identity: Identity,
        token_id: str,
        origin: Origin,
        *,
        current_password: str | None = None,
    ) -> None:
        """Revoke one of the user's tokens; raises NotFound where it is not one, or not good.

        Another token than the presented one needs the confirmation that all of them do, or they
        could be revoked one by one. Raises TooManyWrites, and as Confirmation.check().
        """
        self._writes.spend(identity.credential)
        if current_password is not None or token_id != identity.token_id:
            await self._confirmation.check(identity, current_password, origin)
        async with self._turn(identity) as connection:
            user = await self._identities.lock(connection, identity)
            ended = _is_id(token_id) and await tokens.revoke_valid(
                connection, token_id, user_id=user.id, at=self._now()
            )
            if ended:
                await self._audit.write(connection, Kind.TOKEN_ENDED, origin, user=user)
        if not ended:
            raise NotFound("Take the id from the list of your tokens; this one is not there.")
        self._counts.revoke(Reason.ENDED)

    async def end_all(
        self,
        identity: Identity,
        origin: Origin,
        *,
        keep_current: bool,
        current_password: str | None = None,
    ) -> int:
        """Revoke the user's tokens, but for the presented one if asked; return how many.

        Raises TooManyWrites, and as Confirmation.check().
        """
        self._writes.spend(identity.credential)
        await self._confirmation.check(identity, current_password, origin)
        kept = identity.token_id if keep_current else None
        async with self._turn(identity) as connection:
            user = await self._identities.lock(connection, identity)
            ended = await tokens.revoke_all(connection, user.id, at=self._now(), keep=kept)
            if ended:
                await self._audit.write(connection, Kind.TOKENS_ENDED, origin, user=user)
        self._counts.revoke(Reason.ENDED, ended)
        return ended

    async def introspect(self, token: str) -> Introspection | None:
        """Return what there is to know of a token, or None where it is not good."""
        try:
            claims = self._signer.read(token)
        except TokenInvalid:
            return None
        owner = await answer(self._lookups.owners_of_tokens.find(claims.token_id))
        if owner is None:
            return None
        self._usage.note(claims.token_id, None)
        return Introspection(claims.token_id, owner.user, owner.issued_at, claims.expires_at)

    async def revoke(self, token: str, client_id: str, origin: Origin) -> None:
        """Revoke a token for a client, whosever it is; one that is not good stays as it is."""
        try:
            claims = self._signer.read(token)
        except TokenInvalid:
            return
        async with transaction_on(self._database) as connection:
            user_id = await tokens.revoke(connection, claims.token_id, at=self._now())
            if user_id is not None:
                await self._audit.write(
                    connection, Kind.TOKEN_ENDED, origin, user_id=user_id, client_id=client_id
                )
        if user_id is not None:
            self._counts.revoke(Reason.CLIENT)

    @asynccontextmanager
    async def _turn(self, identity: Identity) -> AsyncIterator[Connection]:
        """Lend a transaction when it is the turn of a write of this user."""
        async with (
            self._writes.turn(identity.user.id),
            transaction_on(self._database) as connection,
        ):
            yield connection

    async def _renew_hash(self, proof: PasswordProof, origin: Origin) -> None:
        """Hash anew what is not as new hashes are, unless others wait: the next log-in may."""
        old = proof.stored.password_hash
        if not self._hasher.needs_rehash(old) or not self._hasher.has_free_worker:
            return
        if not self._hasher.may_renew(proof.password, old):
            return
        user = proof.stored.user
        account = emails.email_key(user.email)
        async with self._hasher.slot(Caller.at(origin.ip, account, is_known=True)):
            new = await self._hasher.hash(proof.password)
        async with connection_to(self._database) as connection:
            await users.renew_hash(connection, user.id, old=old, new=new)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False

"""Tokens: issued at a login, listed, revoked, and introspected by services."""

import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from db import tokens, users
from db.rows import TokenRow, UserRow
from rules.errors import CredentialsInvalid, NotFound, TokenInvalid
from rules.message_kinds import MessageKind
from rules.origin import Origin
from rules.passwords import PasswordHasher
from rules.tokens import TokenClaims, TokenSigner
from services.confirmation import Confirmation
from services.core import Core
from services.event_kinds import EventKind, Revocation
from services.identities import Identity
from services.outbox import Outbox
from services.transactions import Transaction, answer, connection_to, transaction_on
from services.usage import TokenUsage
from services.user_writes import UserWrites
from settings.model import TokenSettings


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token, its expiry, and how many seconds that is from now."""

    token: str = field(repr=False)
    expires_at: datetime
    expires_in: int


@dataclass(frozen=True, slots=True)
class Introspection:
    """A valid token: its user, and its times of issue and expiry in UTC seconds."""

    token_id: str
    user: UserRow
    issued_at: int
    expires_at: int


class Tokens:
    """Issues, lists, introspects and revokes tokens."""

    def __init__(
        self,
        core: Core,
        *,
        confirmation: Confirmation,
        hasher: PasswordHasher,
        signer: TokenSigner,
        usage: TokenUsage,
        writes: UserWrites,
        outbox: Outbox,
        limits: TokenSettings,
    ) -> None:
        self._core = core
        self._database = core.database
        self._lookups = core.lookups
        self._audit = core.audit
        self._confirmation = confirmation
        self._hasher = hasher
        self._signer = signer
        self._usage = usage
        self._writes = writes
        self._outbox = outbox
        self._limits = limits

    async def log_in(self, identity: Identity, origin: Origin) -> IssuedToken:
        """Issue a token to an identity proved by password.

        Raises CredentialsInvalid if the password was changed after it was verified. Of a user
        with ``max_per_user`` tokens the oldest is revoked.
        """
        proof = identity.password_proof
        await self._renew_hash(identity, origin)
        now = self._core.now()
        claims = self._new_claims(now)
        # Signed first: if the key is replaced meanwhile, the row still names the key that signed.
        key_id, token = self._signer.key_id, self._signer.issue(claims)
        expires_at = datetime.fromtimestamp(claims.expires_at, UTC)
        async with transaction_on(self._database) as transaction:
            inserted = await tokens.insert_token(
                transaction.connection,
                claims.token_id,
                user_id=identity.user.id,
                password_version=proof.stored.password_version,
                created_at=now,
                expires_at=expires_at,
                key_id=key_id,
                user_agent=origin.user_agent,
                ip=origin.user_ip,
            )
            if not inserted:
                raise CredentialsInvalid
            await self._finish_log_in(transaction, identity.user, claims.token_id, origin, now)
        return IssuedToken(token, expires_at, self._limits.lifetime_seconds)

    async def log_out(self, identity: Identity, origin: Origin) -> None:
        """Revoke the token that was presented."""
        if identity.token_id is None:
            raise TypeError("The guard of this call accepts passwords.")
        # No turn: it locks only the row of the token, and must not be rejected.
        async with transaction_on(self._database) as transaction:
            if await tokens.revoke(transaction.connection, identity.token_id, at=self._core.now()):
                revoked = (Revocation.LOGGED_OUT, 1)
                await self._audit.write(
                    transaction,
                    EventKind.TOKEN_REVOKED,
                    origin,
                    user=identity.user,
                    revoked=revoked,
                )

    async def find_all(self, identity: Identity) -> list[TokenRow]:
        """Return the valid tokens of the user, newest first."""
        async with connection_to(self._database) as connection:
            return await tokens.find_valid(connection, identity.user.id, at=self._core.now())

    async def revoke(
        self,
        identity: Identity,
        token_id: str,
        origin: Origin,
        *,
        current_password: str | None = None,
    ) -> None:
        """Revoke one of the user's tokens; raises NotFound if it is not a valid one.

        A token other than the presented one requires the same confirmation as all of them: they
        could be revoked one by one. Raises TooManyWrites, and the errors of Confirmation.check().
        """
        self._writes.spend(identity)
        if current_password is not None or token_id != identity.token_id:
            await self._confirmation.check(identity, current_password, origin)
        async with self._writes.begin(identity) as (transaction, user):
            is_revoked = _is_id(token_id) and await tokens.revoke_valid(
                transaction.connection, token_id, user_id=user.id, at=self._core.now()
            )
            if is_revoked:
                revoked = (Revocation.ENDED, 1)
                await self._audit.write(
                    transaction, EventKind.TOKEN_REVOKED, origin, user=user, revoked=revoked
                )
        if not is_revoked:
            raise NotFound("Take the id from the list of your tokens, which does not contain it.")

    async def revoke_all(
        self,
        identity: Identity,
        origin: Origin,
        *,
        keep_current: bool,
        current_password: str | None = None,
    ) -> int:
        """Revoke the user's tokens, and optionally keep the presented one; return how many.

        Raises TooManyWrites, and the errors of Confirmation.check().
        """
        self._writes.spend(identity)
        await self._confirmation.check(identity, current_password, origin)
        kept = identity.token_id if keep_current else None
        async with self._writes.begin(identity) as (transaction, user):
            number = await tokens.revoke_all(
                transaction.connection, user.id, at=self._core.now(), keep=kept
            )
            if number:
                await self._outbox.notify(transaction, MessageKind.TOKENS_REVOKED, user)
                revoked = (Revocation.ENDED, number)
                await self._audit.write(
                    transaction, EventKind.TOKENS_REVOKED, origin, user=user, revoked=revoked
                )
        return number

    async def introspect(self, token: str) -> Introspection | None:
        """Return what a service may know about a token, or None if it is not valid."""
        try:
            claims = self._signer.read(token)
        except TokenInvalid:
            return None
        owner = await answer(self._lookups.owners_of_tokens.find(claims.token_id))
        if owner is None:
            return None
        self._usage.note(claims.token_id, None)
        return Introspection(claims.token_id, owner.user, owner.issued_at, claims.expires_at)

    async def revoke_for_client(self, token: str, client_id: str, origin: Origin) -> None:
        """Revoke a token of any user for a client; a token that is not valid is ignored."""
        try:
            claims = self._signer.read(token)
        except TokenInvalid:
            return
        async with transaction_on(self._database) as transaction:
            user_id = await tokens.revoke(
                transaction.connection, claims.token_id, at=self._core.now()
            )
            if user_id is not None:
                await self._audit.write(
                    transaction,
                    EventKind.TOKEN_REVOKED,
                    origin,
                    user_id=user_id,
                    client_id=client_id,
                    revoked=(Revocation.CLIENT, 1),
                )

    async def _finish_log_in(
        self, transaction: Transaction, user: UserRow, token_id: str, origin: Origin, now: datetime
    ) -> None:
        """Revoke the oldest tokens beyond the limit, and write the event."""
        surplus = await tokens.revoke_surplus(
            transaction.connection,
            user.id,
            newest=token_id,
            limit=self._limits.max_per_user,
            at=now,
        )
        revoked = (Revocation.SURPLUS, surplus)
        await self._audit.write(
            transaction, EventKind.LOGGED_IN, origin, user=user, revoked=revoked
        )

    async def _renew_hash(self, identity: Identity, origin: Origin) -> None:
        """Replace an outdated hash, unless other hashes wait: a later login may replace it."""
        proof = identity.password_proof
        old = proof.stored.password_hash
        if not self._hasher.queue.has_free_worker:
            return
        if not self._hasher.should_renew(proof.password, old):
            return
        async with self._hasher.slot(identity.caller(origin)) as slot:
            new = await slot.hash(proof.password)
        async with connection_to(self._database) as connection:
            await users.renew_hash(connection, identity.user.id, old=old, new=new)

    def _new_claims(self, now: datetime) -> TokenClaims:
        # In the form of a UUID, but all of its bits are random: six bits of a version 4 are not.
        token_id = uuid.UUID(bytes=secrets.token_bytes(16))
        return TokenClaims(str(token_id), int(now.timestamp()) + self._limits.lifetime_seconds)


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False

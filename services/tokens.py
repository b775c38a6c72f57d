"""Tokens: issued at a login, listed, revoked, and introspected by services."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from db import tokens
from db.rows import TokenRow, UserRow
from rules.errors import NotFound, TokenInvalid
from rules.message_kinds import MessageKind
from rules.origin import Origin
from rules.tokens import TokenKind, TokenSigner
from services.confirmation import Confirmation
from services.core import Core
from services.event_kinds import EventKind, Revocation
from services.identities import Identity
from services.logins import Logins, TokenLimits
from services.outbox import Outbox
from services.transactions import connection_to, result_of, transaction_on
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
        logins: Logins,
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
        self._logins = logins
        self._signer = signer
        self._usage = usage
        self._writes = writes
        self._outbox = outbox
        self._limits = limits

    async def log_in(self, identity: Identity, origin: Origin) -> IssuedToken:
        """Issue a token to an identity proved by password.

        If the user has ``max_per_user`` tokens, the oldest is revoked. Raises CredentialsInvalid
        if the password was changed after it was verified.
        """
        limits = TokenLimits(
            kind=TokenKind.TOKEN,
            lifetime_seconds=self._limits.lifetime_seconds,
            max_idle=None,
            max_per_user=self._limits.max_per_user,
        )
        signed = await self._logins.log_in(identity, limits, origin)
        return IssuedToken(signed.value, signed.row.expires_at, limits.lifetime_seconds)

    async def log_out(self, identity: Identity, origin: Origin) -> None:
        """Revoke the token that was presented."""
        await self._logins.log_out(identity, origin)

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

        A token other than the presented one requires the same confirmation as revoke_all(), which
        could otherwise be bypassed one by one. Raises TooManyWrites, and the errors of
        Confirmation.check().
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
        """Revoke the user's tokens, except the presented one if ``keep_current``; return how many.

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
        owner = await result_of(self._lookups.owners_of_tokens.find(claims.token_id))
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
                transaction.connection,
                claims.token_id,
                kind=TokenKind.TOKEN,
                at=self._core.now(),
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


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False

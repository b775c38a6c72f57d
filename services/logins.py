"""Logins and logouts, with a token or a session."""

import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from db import tokens, users
from db.rows import NewTokenRow
from rules.errors import CredentialsInvalid
from rules.origin import Origin
from rules.passwords import PasswordHasher
from rules.tokens import TokenClaims, TokenKind, TokenSigner
from services.core import Core
from services.event_kinds import EventKind, Revocation
from services.identities import Identity, TokenProof
from services.transactions import Transaction, connection_to, transaction_on


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """How long a token of a kind is valid, and how many of them a user may have.

    ``max_idle`` is how long it is valid without a use; None for no limit.
    """

    kind: TokenKind
    lifetime_seconds: int
    max_idle: timedelta | None
    max_per_user: int


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token, and the row that makes it valid."""

    value: str = field(repr=False)
    row: NewTokenRow


class Logins:
    """Issues tokens of each kind, and revokes those that are presented."""

    def __init__(self, core: Core, *, hasher: PasswordHasher, signer: TokenSigner) -> None:
        self._core = core
        self._hasher = hasher
        self._signer = signer

    def sign(self, user_id: str, limits: TokenLimits, origin: Origin) -> SignedToken:
        """Return a new token of a user; the caller inserts its row."""
        now = self._core.now()
        token_id = _new_id(user_id)
        claims = TokenClaims(token_id, int(now.timestamp()) + limits.lifetime_seconds)
        # Both at once: the row must name the key that signed, even if keys are replaced later.
        key_id, value = self._signer.key_id, self._signer.issue(claims, limits.kind)
        row = NewTokenRow(
            id=token_id,
            kind=limits.kind,
            created_at=now,
            expires_at=datetime.fromtimestamp(claims.expires_at, UTC),
            max_idle=limits.max_idle,
            key_id=key_id,
            user_agent=origin.user_agent,
            ip=origin.user_ip,
        )
        return SignedToken(value, row)

    async def log_in(
        self,
        identity: Identity,
        limits: TokenLimits,
        origin: Origin,
        *,
        replaced_session: str | None = None,
    ) -> SignedToken:
        """Issue a token to an identity proved by password.

        If the user has ``max_per_user`` tokens of the kind, the oldest is revoked. So is the
        session with the id ``replaced_session``; in a second transaction if it belongs to another
        user. Raises CredentialsInvalid if the password was changed after it was verified.
        """
        await self._renew_hash(identity, origin)
        signed = self.sign(identity.user.id, limits, origin)
        async with transaction_on(self._core.database) as transaction:
            await self._insert(transaction, identity, signed.row)
            is_done = await self._replace(transaction, replaced_session, origin, identity.user.id)
            await self._record_login(transaction, identity, signed.row, limits, origin)
        if not is_done:  # each transaction writes rows of one user
            async with transaction_on(self._core.database) as transaction:
                await self._replace(transaction, replaced_session, origin)
        return signed

    async def log_out(self, identity: Identity, origin: Origin) -> None:
        """Revoke the token or the session that was presented."""
        proof = identity.proof
        if not isinstance(proof, TokenProof):
            raise TypeError("The guard of this call accepts passwords.")
        # No turn: it locks only the row of the token, and must not be rejected.
        async with transaction_on(self._core.database) as transaction:
            if await tokens.revoke(
                transaction.connection, proof.token_id, kind=proof.kind, at=self._core.now()
            ):
                revoked = (Revocation.LOGGED_OUT, 1)
                await self._core.audit.write(
                    transaction,
                    EventKind.TOKEN_REVOKED,
                    origin,
                    user=identity.user,
                    revoked=revoked,
                )

    async def _insert(self, transaction: Transaction, identity: Identity, row: NewTokenRow) -> None:
        inserted = await tokens.insert_token(
            transaction.connection,
            row,
            user_id=identity.user.id,
            password_version=identity.password_proof.stored.password_version,
        )
        if not inserted:
            raise CredentialsInvalid

    async def _record_login(
        self,
        transaction: Transaction,
        identity: Identity,
        row: NewTokenRow,
        limits: TokenLimits,
        origin: Origin,
    ) -> None:
        """Write the event of the login, and revoke the oldest tokens beyond the maximum."""
        user = identity.user
        surplus = await tokens.revoke_surplus(
            transaction.connection, user.id, row, limit=limits.max_per_user
        )
        revoked = (Revocation.SURPLUS, surplus)
        await self._core.audit.write(
            transaction, EventKind.LOGGED_IN, origin, user=user, revoked=revoked
        )

    async def _replace(
        self,
        transaction: Transaction,
        session_id: str | None,
        origin: Origin,
        user_id: str | None = None,
    ) -> bool:
        """Revoke a session, if one is given; return False if it was not revoked.

        It may belong to another user than ``user_id``, be revoked already, or no longer exist.
        """
        if session_id is None:
            return True
        owner_id = await tokens.revoke(
            transaction.connection,
            session_id,
            kind=TokenKind.SESSION,
            at=self._core.now(),
            user_id=user_id,
        )
        if owner_id is not None:
            revoked = (Revocation.REPLACED, 1)
            await self._core.audit.write(
                transaction, EventKind.TOKEN_REVOKED, origin, user_id=owner_id, revoked=revoked
            )
        return owner_id is not None

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
        async with connection_to(self._core.database) as connection:
            await users.renew_hash(connection, identity.user.id, old=old, new=new)


def _new_id(user_id: str) -> str:
    """Return the id of a new token: the first byte of its user's id, and 120 random bits.

    If users are ever distributed by the first byte of their ids, the text of a token names the
    server that has its row. The form is that of a UUID; in one of version 4, six more bits would
    not be random.
    """
    first = uuid.UUID(user_id).bytes[:1]
    return str(uuid.UUID(bytes=first + secrets.token_bytes(15)))

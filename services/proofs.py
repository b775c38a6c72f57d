"""Proofs: a secret from a message, as its link token or as its code.

Only success uses a message, in the transaction of what it permits. Codes are counted in Postgres
before the comparison; a token, of 256 bits, is not.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from db import proofs, user_messages
from db.message_rows import ProofRow
from db.rows import UserRow
from rules.errors import CodeInvalid
from rules.mail_secrets import derive_secrets, is_code, message_id_of
from rules.message_kinds import MessageKind
from rules.origin import Origin
from services.core import Core
from services.event_kinds import EventKind
from services.identities import Identity
from services.throttle import Throttle
from services.transactions import Transaction, connection_to


@dataclass(frozen=True, slots=True)
class Proof:
    """A token; or a code, with the id of its message unless the caller is identified."""

    token: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    request: str | None = None

    @property
    def rejection(self) -> CodeInvalid:
        """Return the error of this proof, the same for every reason."""
        return CodeInvalid("code" if self.token is None else "token")


class Proofs:
    """Verifies proofs. ``find_key`` returns the signing key with an id, or None."""

    def __init__(
        self, core: Core, throttle: Throttle, find_key: Callable[[str], str | None]
    ) -> None:
        self._core = core
        self._throttle = throttle
        self._find_key = find_key

    async def verify(
        self,
        proof: Proof,
        kinds: Sequence[MessageKind],
        origin: Origin,
        identity: Identity | None = None,
    ) -> ProofRow:
        """Return the message that a proof is from.

        With an identity, only messages to its user count, even used ones: the call is repeatable.
        Raises CodeInvalid, or TooManyAttempts.
        """
        user = identity.user if identity is not None else None
        if proof.token is not None:
            found = await self._find_by_token(proof.token, kinds)
        else:
            found = await self._find_by_code(proof, kinds, origin, user)
        if found is None or not _is_for(found, user):
            await self._core.audit.record(EventKind.CODE_FAILED, origin, user=user)
            raise proof.rejection
        return found

    async def spend(self, transaction: Transaction, proof: Proof, row: ProofRow) -> None:
        """Use a message; raises CodeInvalid if it was used or became void meanwhile.

        Other messages of the user, whose row is locked, may become void in the same transaction.
        """
        await user_messages.lock_messages(transaction.connection, row.user.id)
        if not await proofs.spend(transaction.connection, row.id, at=self._core.now()):
            raise proof.rejection

    async def _find_by_token(self, token: str, kinds: Sequence[MessageKind]) -> ProofRow | None:
        message_id = message_id_of(token)
        if message_id is None:
            return None
        async with connection_to(self._core.database) as connection:
            row = await proofs.find_proof(connection, message_id, kinds, now=self._core.now())
        key = self._find_key(row.key_id) if row is not None else None
        if row is None or key is None:
            return None
        return row if derive_secrets(key, row.kind, row.id, row.nonce).has_token(token) else None

    async def _find_by_code(
        self,
        proof: Proof,
        kinds: Sequence[MessageKind],
        origin: Origin,
        user: UserRow | None,
    ) -> ProofRow | None:
        code = proof.code or ""
        if not is_code(code):
            return None
        attempt = self._throttle.code_attempt(origin.ip)
        await self._throttle.check(attempt)
        failure = await self._throttle.record_failure(attempt)
        async with connection_to(self._core.database) as connection:
            rows = await proofs.count_try(
                connection,
                message_id=_uuid(proof.request),
                user_id=user.id if user is not None else None,
                kinds=kinds,
                now=self._core.now(),
            )
            found = next((row for row in rows if self._has_code(row, code)), None)
            if found is not None:
                await proofs.return_try(connection, [row.id for row in rows])
        if found is not None:
            await self._throttle.record_success(attempt, failure)
        return found

    def _has_code(self, row: ProofRow, code: str) -> bool:
        key = self._find_key(row.key_id)
        return key is not None and derive_secrets(key, row.kind, row.id, row.nonce).has_code(code)


def _is_for(row: ProofRow, user: UserRow | None) -> bool:
    return not row.is_used if user is None else row.user.id == user.id


def _uuid(text: str | None) -> str | None:
    try:
        return None if text is None else str(uuid.UUID(text))
    except ValueError:
        return None

"""Proofs of an email address from callers that do not know the kind of the message."""

from db.rows import UserRow
from rules.message_kinds import MessageKind
from rules.origin import Origin
from services.email_change import EmailChange
from services.identities import Identity
from services.proofs import Proof, Proofs
from services.verification import EmailVerification

_KINDS = (MessageKind.VERIFICATION, MessageKind.EMAIL_CHANGE)


class AddressProofs:
    """Verifies or changes the email address of a user, depending on the message."""

    def __init__(
        self, proofs: Proofs, *, verification: EmailVerification, change: EmailChange
    ) -> None:
        self._proofs = proofs
        self._verification = verification
        self._change = change

    async def confirm(self, identity: Identity, proof: Proof, origin: Origin) -> UserRow:
        """Apply a proof; return the user. Raises CodeInvalid, or EmailTaken.

        The proof is verified once for both kinds, so that a wrong code is counted once.
        """
        row = await self._proofs.verify(proof, _KINDS, origin, identity)
        if row.kind == MessageKind.EMAIL_CHANGE:
            return await self._change.apply(identity, proof, row, origin)
        return await self._verification.apply(identity, proof, row, origin)

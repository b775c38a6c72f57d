"""The current password, asked for again before an account is taken over or destroyed."""

from rules.errors import CurrentPasswordWrong, FieldError, InvalidFields
from rules.origin import Origin
from services.identities import Identities, Identity

FIELD = "current_password"


class Confirmation:
    """Asks a caller who presents a token for the password too, where ``required``.

    Whoever presents the password itself proved it with the request.
    """

    def __init__(self, identities: Identities, *, required: bool) -> None:
        self._identities = identities
        self._required = required

    def is_missing(self, identity: Identity, password: str | None) -> bool:
        """Tell whether a caller has to send the current password, and did not."""
        return self._required and password is None and identity.token_id is not None

    async def check(self, identity: Identity, password: str | None, origin: Origin) -> None:
        """Raise InvalidFields where the current password is missing.

        Raises CurrentPasswordWrong, which is one, where it is wrong: a counted try.
        One that was sent is verified, required or not.
        """
        if self.is_missing(identity, password):
            raise InvalidFields([FieldError(FIELD, "is required")])
        if password is None or await self._identities.prove_again(identity, password, origin):
            return
        raise CurrentPasswordWrong(FIELD)

"""The current password, required again before a request takes over or destroys an account."""

from rules.errors import CurrentPasswordWrong, FieldError, InvalidFields
from rules.origin import Origin
from services.identities import Identities, Identity

FIELD = "current_password"


class Confirmation:
    """Requires the current password in addition to a token, if ``required``.

    A request that presents the password itself has already proved it.
    """

    def __init__(self, identities: Identities, *, required: bool) -> None:
        self._identities = identities
        self._required = required

    def is_missing(self, identity: Identity, password: str | None) -> bool:
        """Return whether the current password is required and was not sent."""
        return self._required and password is None and identity.token_id is not None

    async def check(self, identity: Identity, password: str | None, origin: Origin) -> None:
        """Raise InvalidFields if the current password is missing.

        Raises CurrentPasswordWrong, a subclass, if it is wrong: a counted attempt. A password
        that was sent is verified, whether or not it is required.
        """
        if self.is_missing(identity, password):
            raise InvalidFields([FieldError(FIELD, "is required")])
        if password is None or await self._identities.confirm_password(identity, password, origin):
            return
        raise CurrentPasswordWrong(FIELD)

"""Links to set a password, which an administrator sends to users or passes on to them.

The administrator never knows the password. A link is valid once, and for a limited time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from db.rows import UserRow
from rules.mail_secrets import derive_secrets, link_with
from rules.message_kinds import MessageKind
from rules.origin import LocalOrigin
from rules.password_scheme import PasswordScheme
from services.core import Core
from services.event_kinds import EventKind
from services.named_users import get_user, locked_user
from services.new_users import NewUsers
from services.outbox import Outbox
from services.transactions import Transaction, transaction_on


class UserDisabled(Exception):
    """A link would not be valid: the user is disabled."""


@dataclass(frozen=True, slots=True)
class AccountLink:
    """A link for a user; None if it is sent in a message."""

    user: UserRow
    link: str | None = field(repr=False)


class AccountLinks:
    """Invites users, and makes links that reset a password.

    ``signing_key`` returns the newest signing key, and ``links_origin`` the origin of links; both
    raise an error if there is none, and are called only if a link is made.
    """

    def __init__(
        self,
        core: Core,
        *,
        scheme: PasswordScheme,
        new_users: NewUsers,
        outbox: Outbox,
        signing_key: Callable[[], str],
        links_origin: Callable[[], str],
        origin: LocalOrigin,
    ) -> None:
        self._core = core
        self._scheme = scheme
        self._new_users = new_users
        self._outbox = outbox
        self._signing_key = signing_key
        self._links_origin = links_origin
        self._origin = origin

    async def invite(self, email: str, name: str | None, *, prints: bool) -> AccountLink:
        """Create a user without a password, and send a link to set one, valid for 7 days.

        With ``prints``, or if no messages are sent, return the link instead. Raises InvalidFields,
        or EmailTaken.
        """
        new_user = self._new_users.check(email=email, password=None, name=name)
        async with transaction_on(self._core.database) as transaction:
            user = await self._new_users.insert(
                transaction,
                new_user,
                self._scheme.unusable(),
                kind=EventKind.INVITED,
                origin=self._origin,
            )
            if self._outbox.is_on and not prints:
                await self._outbox.add(transaction, MessageKind.INVITATION, user)
                return AccountLink(user, None)
            return await self._link(transaction, MessageKind.INVITATION, user)

    async def make_reset_link(self, email_or_id: str) -> AccountLink:
        """Return a link that sets a new password, valid for an hour; nothing is sent.

        Raises UserNotFound, or UserDisabled.
        """
        async with locked_user(self._core.database, email_or_id) as (transaction, user):
            state = await get_user(transaction.connection, user.id)
            if state.disabled_at is not None:
                raise UserDisabled
            await self._core.audit.write(
                transaction, EventKind.RESET_LINK_MADE, self._origin, user=user
            )
            return await self._link(transaction, MessageKind.PASSWORD_RESET, user)

    async def _link(
        self, transaction: Transaction, kind: MessageKind, user: UserRow
    ) -> AccountLink:
        origin = self._links_origin()
        message = await self._outbox.add_printed(transaction, kind, user)
        token = derive_secrets(self._signing_key(), kind, message.id, message.nonce).token
        return AccountLink(user, link_with(token, origin=origin, page="reset"))

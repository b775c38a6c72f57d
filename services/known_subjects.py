"""The users and networks behind the names of counts.

The counts are stored under digests, so that the database does not show which networks tried which
accounts. They are resolved for a command only: accounts by the email addresses of all users,
networks by the IP addresses of recent failures in the audit trail, and by those that the
administrator names.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from db import counts, events, users
from db.pool import Connection
from db.rows import UserStateRow
from rules import emails
from rules.origin import network_of
from services.core import Core
from services.event_kinds import LOGIN_FAILURES
from services.throttle_subjects import ACCOUNT, SubjectNames

# At most this many failures, and pages of users, are read.
_MAX_ORIGINS = 50_000
_PAGE, _MAX_PAGES = 10_000, 100
# The user and the network of a failure, or of a count.
_Origin = tuple[str | None, str]
Known = tuple[UserStateRow | None, str | None]
UNKNOWN: Known = (None, None)


class KnownSubjects:
    """Resolves the names of counts through failures that are not older than ``counted``."""

    def __init__(self, core: Core, names: SubjectNames, counted: timedelta) -> None:
        self._core = core
        self._names = names
        self._counted = counted

    async def resolve(
        self, connection: Connection, subjects: Iterable[str], networks: Iterable[str] = ()
    ) -> Mapping[str, Known]:
        """Return the users and networks of some names of counts, as far as they are known.

        Networks are known from the recent failures of all users; further ones may be given.
        """
        origins = await self._find_origins(connection)
        given = set(networks)
        known = self._known_networks(given | {network for _, network in origins})
        known |= await self._known_pairs(connection, origins, given)
        known |= await self._known_accounts(connection, subjects)
        return known

    async def find_networks(self, connection: Connection) -> set[str]:
        """Return the networks of the recent failures of all users."""
        return {network for _, network in await self._find_origins(connection)}

    async def find_networks_of(self, connection: Connection, email_key: str) -> set[str]:
        """Return the networks where an account failed recently.

        The networks are those of its events, and those of the failures of all users that have a
        count with this account: the audit trail counts further failures in a minute without the
        account.
        """
        digest = self._core.audit.email_digest(email_key)
        own = {network for _, network in await self._find_origins(connection, digest)}
        networks = await self.find_networks(connection)
        named = {self._names.pair(email_key, network): network for network in networks}
        counted = await counts.find_counts(connection, list(named))
        return own | {named[each.subject] for each in counted if each.failures}

    def _known_networks(self, networks: Iterable[str]) -> dict[str, Known]:
        return {
            name: (None, network)
            for network in networks
            for name in self._names.of_network(network)
        }

    async def _known_pairs(
        self, connection: Connection, origins: Iterable[_Origin], networks: Iterable[str]
    ) -> dict[str, Known]:
        failed = {(user_id, network) for user_id, network in origins if user_id is not None}
        user_ids = {user_id for user_id, _ in failed}
        failed |= {(user_id, network) for user_id in user_ids for network in networks}
        found = {user.id: user for user in await users.find_states(connection, sorted(user_ids))}
        return {
            self._names.pair(emails.email_key(found[user_id].email), network): (
                found[user_id],
                network,
            )
            for user_id, network in failed
            if user_id in found
        }

    async def _known_accounts(
        self, connection: Connection, subjects: Iterable[str]
    ) -> dict[str, Known]:
        """Return the users of some counts; reads the email addresses of a million users at most."""
        accounts = {name for name in subjects if name.startswith(ACCOUNT)}
        known: dict[str, Known] = {}
        after = ""
        for _ in range(_MAX_PAGES):
            if len(known) == len(accounts):
                break
            page = await users.find_page(
                connection, after=after, text="", only_disabled=False, limit=_PAGE
            )
            if not page:
                break
            keys = {self._names.account(emails.email_key(user.email)): user for user in page}
            known |= {name: (keys[name], None) for name in accounts & keys.keys()}
            after = emails.email_key(page[-1].email)
        return known

    async def _find_origins(
        self, connection: Connection, email_digest: str | None = None
    ) -> set[_Origin]:
        """Return the users, if known, and the networks of recent failures."""
        found = await events.find_origins(
            connection,
            kinds=[*LOGIN_FAILURES],
            since=self._core.now() - self._counted,
            email_digest=email_digest,
            limit=_MAX_ORIGINS,
        )
        return {(user_id, network_of(ip)) for user_id, ip in found}

"""Waits after failed attempts, as administrators see and end them.

The counts are stored under digests, so that the database does not show which networks tried which
accounts. They are resolved for a command only: accounts by the email addresses of all users,
networks by the IP addresses of recent failures in the audit trail, and by those that the
administrator names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from db import counts, events, users
from db.pool import Connection
from db.rows import CountStateRow, UserStateRow
from rules import emails
from rules.origin import network_of
from services.core import Core
from services.event_kinds import LOGIN_FAILURES
from services.throttle_subjects import ACCOUNT, CountKind, SubjectNames, kind_of
from services.transactions import connection_to
from settings.model import ThrottleSettings

_PAGE = 10_000
# The user and the network of a failure, or of a count.
_Origin = tuple[str | None, str]
_Known = tuple[UserStateRow | None, str | None]


@dataclass(frozen=True, slots=True)
class Wait:
    """A count, and the user and the network that it is about, as far as they are known.

    ``next_seconds`` is the wait that the next failed attempt starts, 0 for none.
    """

    count: CountStateRow
    user: UserStateRow | None = None
    network: str | None = None
    next_seconds: float = 0.0

    @property
    def kind(self) -> CountKind:
        """Return what the count is by."""
        return kind_of(self.count.subject)


class Waits:
    """Finds and ends waits."""

    def __init__(self, core: Core, names: SubjectNames, limits: ThrottleSettings) -> None:
        self._core = core
        self._names = names
        self._limits = limits
        self._kept = timedelta(seconds=max(limits.forget_seconds, limits.longest_delay_seconds))

    async def find_for(
        self, connection: Connection, email_key: str, ip: str | None = None
    ) -> list[Wait]:
        """Return the count of an account, if any, its waits, and those that a failure would start.

        Those are the waits from the network of an IP address, or else from the networks where the
        account failed recently.
        """
        account = self._names.account(email_key)
        networks = {network_of(ip)} if ip else await self._failed_networks(connection, email_key)
        named: dict[str, str | None] = {account: None}
        for network in networks:
            named[self._names.pair(email_key, network)] = network
            named[self._names.address(network)] = network
        found = await counts.find_counts(connection, list(named))
        waits = [
            Wait(each, network=named[each.subject], next_seconds=self._next_seconds(each))
            for each in found
        ]
        return [
            each
            for each in waits
            if each.count.is_waiting or each.next_seconds or each.count.subject == account
        ]

    def _next_seconds(self, count: CountStateRow) -> float:
        """Return the wait that the next failure of a network starts, as db/throttle.py does."""
        limits = self._limits
        free = {
            CountKind.PAIR: limits.pair_failures,
            CountKind.ADDRESS: limits.address_failures,
        }.get(kind_of(count.subject))
        forgotten = count.last_at + timedelta(seconds=limits.forget_seconds) < self._core.now()
        if free is None or forgotten or count.failures + 1 < free:
            return 0.0
        doubled = limits.first_delay_seconds * 2.0 ** min(count.failures + 1 - free, 40)
        return min(doubled, limits.longest_delay_seconds)

    async def end_for_account(
        self, connection: Connection, email_key: str, addresses: Iterable[str] = ()
    ) -> int:
        """End the waits of an account, from any network; return how many counts were not 0.

        The networks are those of some IP addresses, and those of the recent failures of all users:
        the audit trail counts later failures of a minute without the account.
        """
        networks = {network_of(each) for each in addresses}
        networks |= {network for _, network in await self._find_origins(connection)}
        names = [self._names.pair(email_key, network) for network in networks]
        return await counts.reset_counts(connection, [self._names.account(email_key), *names])

    async def end_for_address(self, connection: Connection, ip: str) -> int:
        """End the waits that an IP address has for all accounts, clients and registrations.

        Returns how many counts were not 0.
        """
        return await counts.reset_counts(connection, self._names.of_network(network_of(ip)))

    async def count_failures(self, connection: Connection, email_key: str) -> int:
        """Return the consecutive failures of an account."""
        found = await counts.find_counts(connection, [self._names.account(email_key)])
        return sum(each.failures for each in found)

    def is_usual_network(self, count: CountStateRow, ip: str) -> bool:
        """Return whether an IP address is in the usual network of an account."""
        return count.usual_network == self._names.network_digest(network_of(ip))

    async def find_all(self, addresses: Iterable[str], *, limit: int) -> list[Wait]:
        """Return all waits, those of most failures first, with the users and networks known.

        Networks are known from some IP addresses, and from the recent failures of all users.
        """
        async with connection_to(self._core.database) as connection:
            waiting = await counts.find_waiting(connection, limit=limit)
            origins = await self._find_origins(connection)
            networks = {network_of(each) for each in addresses}
            known = self._known_networks(networks | {network for _, network in origins})
            known |= await self._known_pairs(connection, origins, networks)
            known |= await self._known_accounts(connection, {each.subject for each in waiting})
        return [Wait(each, *known.get(each.subject, (None, None))) for each in waiting]

    def _known_networks(self, networks: Iterable[str]) -> dict[str, _Known]:
        return {
            name: (None, network)
            for network in networks
            for name in self._names.of_network(network)
        }

    async def _known_pairs(
        self, connection: Connection, origins: Iterable[_Origin], networks: Iterable[str]
    ) -> dict[str, _Known]:
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

    async def _known_accounts(self, connection: Connection, waiting: set[str]) -> dict[str, _Known]:
        """Return the users of some counts; reads the email addresses of all users at worst."""
        accounts = {name for name in waiting if name.startswith(ACCOUNT)}
        known: dict[str, _Known] = {}
        after = ""
        while len(known) < len(accounts):
            page = await users.find_page(
                connection, after=after, text="", only_disabled=False, limit=_PAGE
            )
            if not page:
                break
            keys = {self._names.account(emails.email_key(user.email)): user for user in page}
            known |= {name: (keys[name], None) for name in accounts & keys.keys()}
            after = emails.email_key(page[-1].email)
        return known

    async def _failed_networks(self, connection: Connection, email_key: str) -> set[str]:
        """Return the networks where an account failed recently.

        Those of its events; and of the recent failures of all users, those with a count.
        """
        digest = self._core.audit.email_digest(email_key)
        own = {network for _, network in await self._find_origins(connection, digest)}
        origins = await self._find_origins(connection)
        named = {self._names.pair(email_key, network): network for _, network in origins}
        counted = await counts.find_counts(connection, list(named))
        return own | {named[each.subject] for each in counted if each.failures}

    async def _find_origins(
        self, connection: Connection, email_digest: str | None = None
    ) -> set[_Origin]:
        """Return the users, if known, and the networks of recent failures."""
        found = await events.find_origins(
            connection,
            kinds=[*LOGIN_FAILURES],
            since=self._core.now() - self._kept,
            email_digest=email_digest,
        )
        return {(user_id, network_of(ip)) for user_id, ip in found}

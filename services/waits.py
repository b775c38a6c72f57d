"""Waits after failed attempts, as administrators see and end them.

The counts are stored under digests; see services/known_subjects.py for how they are resolved.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from db import counts
from db.pool import Connection
from db.rows import CountStateRow, UserStateRow
from db.throttle import Subject
from rules import emails
from rules.origin import network_of
from services.core import Core
from services.known_subjects import UNKNOWN, KnownSubjects
from services.throttle_subjects import ADDRESS, PAIR, CountKind, SubjectNames, kind_of
from services.transactions import connection_to
from settings.model import ThrottleSettings

# The maximum number of waits that may apply to a user.
MAX_POSSIBLE = 1_000


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
        """Return the kind of the count."""
        return kind_of(self.count.subject)


class Waits:
    """Finds and ends waits."""

    def __init__(self, core: Core, names: SubjectNames, limits: ThrottleSettings) -> None:
        self._core = core
        self._names = names
        self._limits = limits
        self._counted = timedelta(seconds=max(limits.forget_seconds, limits.longest_delay_seconds))
        self._known = KnownSubjects(core, names, self._counted)

    async def find_for(
        self, connection: Connection, email_key: str, ip: str | None = None
    ) -> list[Wait]:
        """Return the count of an account, if any, its waits, and those that a failure would start.

        The waits are those from the network of ``ip``, or else from the networks where the account
        failed recently.
        """
        account = self._names.account(email_key)
        if ip:
            networks = {network_of(ip)}
        else:
            networks = await self._known.find_networks_of(connection, email_key)
        pairs = {self._names.pair(email_key, network): network for network in networks}
        by_network = {self._names.network(network): network for network in networks}
        named = pairs | by_network
        found = await counts.find_counts(connection, [account, *named])
        following = await self._find_next_waits(connection, [*pairs], [*by_network])
        return [
            Wait(each, None, named.get(each.subject), following.get(each.subject, 0.0))
            for each in found
            if each.is_waiting or each.subject in following or each.subject == account
        ]

    async def find_possible(
        self, connection: Connection, email_key: str, found: Iterable[Wait]
    ) -> list[Wait]:
        """Return waits from networks that may apply to an account besides those found for it.

        A rejected attempt is not counted, and may not be an event of its own, so that the networks
        of an account are not known completely. Waits that are known to be those of another account
        are left out. Those of all accounts in a network come first; at most MAX_POSSIBLE.
        """
        waiting = await counts.find_waiting_networks(
            connection,
            prefixes=(ADDRESS, PAIR),
            without=[each.count.subject for each in found],
            kept_seconds=self._counted.total_seconds(),
            limit=MAX_POSSIBLE,
        )
        resolved = await self._resolve(connection, waiting)
        possible = [
            each
            for each in resolved
            if each.user is None or emails.email_key(each.user.email) == email_key
        ]
        # If not all waits were read, none is ruled out.
        return possible or (resolved if len(waiting) == MAX_POSSIBLE else [])

    async def _find_next_waits(
        self, connection: Connection, pairs: Sequence[str], networks: Sequence[str]
    ) -> dict[str, float]:
        """Return the waits that the next failure starts, by the names of pairs and networks."""
        limits = self._limits
        named = [(each, limits.pair_failures) for each in pairs]
        named += [(each, limits.address_failures) for each in networks]
        return await counts.find_next_waits(
            connection,
            [Subject(name, free, limits.forget_seconds) for name, free in named],
            first_delay_seconds=limits.first_delay_seconds,
            longest_delay_seconds=limits.longest_delay_seconds,
        )

    async def end_for_account(
        self, connection: Connection, email_key: str, ips: Iterable[str] = ()
    ) -> int:
        """End the waits of an account in the known networks; return how many counts were not 0.

        The networks are those of ``ips``, and those of the recent failures of all users: the audit
        trail counts further failures in a minute without the account. The wait of the account
        itself ends in all networks.
        """
        networks = {network_of(ip) for ip in ips}
        networks |= await self._known.find_networks(connection)
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

    async def find_all(self, ips: Iterable[str], *, limit: int) -> list[Wait]:
        """Return all waits, those with the most failures first, with known users and networks.

        Networks are known from ``ips``, and from the recent failures of all users.
        """
        async with connection_to(self._core.database) as connection:
            waiting = await counts.find_waiting(connection, limit=limit)
            return await self._resolve(connection, waiting, map(network_of, ips))

    async def _resolve(
        self, connection: Connection, waiting: Sequence[CountStateRow], networks: Iterable[str] = ()
    ) -> list[Wait]:
        subjects = [each.subject for each in waiting]
        known = await self._known.resolve(connection, subjects, networks)
        return [Wait(each, *known.get(each.subject, UNKNOWN)) for each in waiting]

"""The hosts of a DSN, and which of them is the primary."""

import logging
import time
from collections.abc import Iterable

from db.dsn import naming, parse_url
from db.hosts import Host, find_hosts
from db.timelines import Timelines
from db.waiting_sessions import WaitingSessions
from ops.host_names import HostNames
from ops.logs import SERVER


class Route:
    """Leads to the primary.

    ``primary`` is the host of the last connection, if there was one, and ``silent`` are the hosts
    that have not answered since. ``timelines`` are those of its connections, ``waiting_sessions``
    those on the primary, and ``names`` resolves host names.
    """

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        with naming(dsn):
            self.hosts = find_hosts(parse_url(dsn))
        self.primary: Host | None = None
        self.silent: set[Host] = set()
        self.timelines = Timelines()
        self.waiting_sessions = WaitingSessions(time.monotonic)
        self.names = HostNames()

    def in_order(self, hosts: Iterable[Host]) -> list[Host]:
        """Return hosts in their order, but the primary first and silent ones last."""
        return sorted(hosts, key=self._rank)

    def avoid_primary(self) -> None:
        """Try the primary last, since it did not answer: another host may have replaced it."""
        if self.primary is not None:
            self.silent.add(self.primary)

    def _rank(self, host: Host) -> int:
        if any(host.includes(other) for other in self.silent):
            return 2
        return 0 if host.includes(self.primary) else 1

    def follow(self, host: Host) -> bool:
        """Set the primary to the host of a connection; return whether it replaced another one."""
        self.silent.clear()
        before, self.primary = self.primary, host
        if before in {None, host}:
            return False
        logging.getLogger(SERVER).warning("the primary is now %s, and no longer %s", host, before)
        return True

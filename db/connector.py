"""Opens connections to the primary, and decides when all of them are discarded."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import aiopg

from db.connecting import OpenedConnection, PoolLimits, connect, find_promoted
from db.connection import close_once
from db.dsn import naming
from db.errors import DISCARDING, DatabaseError, ReadOnly, Unavailable, Unusable
from db.open_connections import OpenConnections
from db.outage_log import OutageLog
from db.route import Route


class Connector:
    """Opens connections to the primary, to which ``route`` leads.

    All ``connections`` are discarded if Postgres is not a primary, if another host or a promoted
    standby has become the primary, or if connections have become unusable, for the reason
    ``unusable``. ``search_path`` is that of the newest connection.
    """

    def __init__(self, dsn: str, limits: PoolLimits) -> None:
        self.route = Route(dsn)
        self.connections = OpenConnections()
        self.unusable: Unusable | None = None
        self.search_path: str | None = None
        self._limits = limits
        self._outage_log = OutageLog(time.monotonic)
        # The generation of connections that began with the primary of the route.
        self._found_in = 0

    @property
    def generation(self) -> int:
        """Return how often all connections were discarded."""
        return self.connections.generation

    async def connect(self, setup: str = "") -> aiopg.Connection:
        """Open a connection, and execute ``setup`` first; raises DatabaseError."""
        if self.unusable is not None:
            raise self.unusable.with_traceback(None)
        generation = self.generation
        with self.reacting():
            opened = await connect(
                self.route, self._limits, search_path=self.search_path, setup=setup
            )
        return self._admit(opened, generation)

    async def find_promoted(self) -> None:
        """Open a connection to a host that has replaced the primary, and discard all others.

        Raises DatabaseError if there is none.
        """
        generation = self.generation
        opened = await find_promoted(self.route, self._limits)
        self.connections.put(self._admit(opened, generation))

    def check(self, generation: int) -> None:
        """Raise Unavailable if the connections of a generation were discarded."""
        if generation != self.generation:
            discarded = Unavailable("all connections were discarded")
            raise (self.unusable or discarded).with_traceback(None)

    @contextmanager
    def reacting(self) -> Iterator[None]:
        """React to an error of the block."""
        generation = self.generation
        try:
            with naming(self.route.dsn):
                yield
        except DatabaseError as error:
            self.react(error, generation)
            raise

    def react(self, error: DatabaseError, generation: int | None = None) -> None:
        """Discard every connection if the error of one implies that none can be used.

        ``generation`` is that of the failed connection: the failure does not concern connections
        that were opened later.
        """
        if isinstance(error, Unusable):
            if self.unusable is not None:
                return
            self.unusable = error
        is_current = generation in {None, self.generation}
        if isinstance(error, DISCARDING) and is_current:
            self._discard(error)
        if is_current or isinstance(error, Unusable):
            self._outage_log.log(error)

    def log_outages(self) -> None:
        """Log from now on why requests get 503."""
        self._outage_log.is_on = True
        self.route.waiting_sessions.is_logged = True

    def record_answer(self) -> None:
        """Record that a primary answered a lookup, of the kind that every request makes."""
        self._outage_log.record_answer()

    def _discard(self, error: DatabaseError) -> None:
        if isinstance(error, ReadOnly):
            self.connections.end_all()
        else:
            self.connections.give_up()

    def _admit(self, opened: OpenedConnection, generation: int) -> aiopg.Connection:
        """Return a new connection, unless all were discarded while it was opened.

        ``generation`` is that at the beginning. A connection to the primary whose discovery
        discarded all others is kept.
        """
        is_current = generation == self.generation or self._leads_to_found_primary(opened)
        if self.unusable is not None or not (is_current or opened.is_promoted):
            close_once(opened.raw)
            lost = Unavailable("another primary was found while a connection was opened")
            raise (self.unusable or lost).with_traceback(None)
        self._outage_log.record_connection()
        self.search_path = opened.search_path
        if self.route.follow(opened.host) or opened.is_promoted:
            # The others lead to a host that may still consider itself the primary.
            self.connections.end_all()
            self._found_in = self.generation
        return opened.raw

    def _leads_to_found_primary(self, opened: OpenedConnection) -> bool:
        return (
            self._found_in == self.generation
            and opened.host == self.route.primary
            and self.route.timelines.is_newest(opened.timeline)
        )

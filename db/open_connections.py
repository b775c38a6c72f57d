"""The connections of a pool, all of which are given up when they lead to no primary."""

from collections import deque

import aiopg

from db.connection import close_once
from db.prepared import PreparedQuery


class OpenConnections:
    """Connections that are free, those that are lent, and prepared queries.

    ``generation`` counts how often all were given up.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._free: deque[aiopg.Connection] = deque()
        self._lent: set[aiopg.Connection] = set()
        self._queries: list[PreparedQuery] = []

    def put(self, raw: aiopg.Connection) -> None:
        """Add a free connection."""
        self._free.append(raw)

    def take(self) -> aiopg.Connection | None:
        """Remove a free connection, and return it."""
        while self._free:
            raw = self._free.pop()
            if not raw.closed:
                return raw
        return None

    def lend(self, raw: aiopg.Connection) -> None:
        """Add a connection that is in use until take_back()."""
        self._lent.add(raw)

    def take_back(self, raw: aiopg.Connection) -> None:
        """Remove a connection that was lent."""
        self._lent.discard(raw)

    def watch(self, query: PreparedQuery) -> None:
        """Add a prepared query, on a connection of its own."""
        self._queries = [other for other in self._queries if not other.closed]
        self._queries.append(query)

    def close_free(self) -> None:
        """Close those that are free."""
        while self._free:
            close_once(self._free.pop())

    def give_up(self) -> None:
        """Close every connection, except those that are lent, and begin a new generation."""
        self.generation += 1
        self.close_free()
        # A query that fails may begin another one.
        queries, self._queries = self._queries, []
        for query in queries:
            query.close()

    def end_all(self) -> None:
        """Close every connection, and begin a new generation.

        What waits for an answer fails, a commit included: that of a primary that was replaced may
        never come, or not count.
        """
        while self._lent:
            close_once(self._lent.pop())
        self.give_up()

"""The connections of a pool, which are all discarded if they do not lead to the primary."""

from collections import deque

import aiopg

from db.connection import close_once
from db.prepared import PreparedQuery


class OpenConnections:
    """Free connections, borrowed connections, and prepared queries.

    ``generation`` counts how often all were discarded.
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
        """Add a borrowed connection, which is in use until take_back()."""
        self._lent.add(raw)

    def take_back(self, raw: aiopg.Connection) -> None:
        """Remove a borrowed connection."""
        self._lent.discard(raw)

    def watch(self, query: PreparedQuery) -> None:
        """Add a prepared query, on a connection of its own."""
        self._queries = [other for other in self._queries if not other.closed]
        self._queries.append(query)

    def close_free(self) -> None:
        """Close the free connections."""
        while self._free:
            close_once(self._free.pop())

    def give_up(self) -> None:
        """Close every connection except borrowed ones, and begin a new generation."""
        self.generation += 1
        self.close_free()
        # A query that fails may begin another one.
        queries, self._queries = self._queries, []
        for query in queries:
            query.close()

    def end_all(self) -> None:
        """Close every connection, and begin a new generation.

        Pending statements fail, including commits: the answer of a primary that was replaced may
        never arrive, or be wrong.
        """
        while self._lent:
            close_once(self._lent.pop())
        self.give_up()

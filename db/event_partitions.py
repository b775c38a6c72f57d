"""The partitions of the events table: one for each month, in UTC.

An insertion into ``events`` locks that table and one partition, a search locks all partitions. A
partition is therefore created as a separate table and then attached, which locks only insertions
and the default partition. Dropping one locks all of ``events``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from db.errors import TooManyEvents
from db.pool import Connection

# Other statements queue behind one that waits for a lock, which a backup may hold.
LOCK_MILLISECONDS = 100
_LIMIT_WAIT = f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}"
# While the default partition is locked, Postgres searches it for events of a new partition, and
# these are moved. With these maximums, that takes no longer than the wait for a lock may.
_MAX_SEARCHED = 500_000
_MAX_MOVED = 1_000


@dataclass(frozen=True, slots=True)
class Month:
    """A month in UTC: its first moment, and that of the next one."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, time: datetime) -> "Month":
        """Return the month of a time in UTC."""
        start = time.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return cls(start, (start + timedelta(days=32)).replace(day=1))

    @property
    def next(self) -> "Month":
        """Return the month after this one."""
        return Month.of(self.end)

    @property
    def table(self) -> str:
        """Return the name of its partition."""
        return f"events_{self.start:%Y_%m}"


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition with an end; ``table`` is quoted for SQL.

    ``start`` is None if all events before its end belong to it.
    """

    table: str
    start: datetime | None
    end: datetime

    def overlaps(self, month: Month) -> bool:
        """Return whether events of a month belong to it."""
        return month.start < self.end and (self.start is None or self.start < month.end)


# The default partition has no bounds. Without standard_conforming_strings, a backslash in a literal
# is an escape: there is none here.
_FIND = """
SELECT
    format('%I.%I', n.nspname, c.relname),
    substring(bounds FROM 'FROM [(]''([^'']+)''[)]')::timestamptz,
    substring(bounds FROM 'TO [(]''([^'']+)''[)]')::timestamptz AS until
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN pg_get_expr(c.relpartbound, c.oid) AS bounds
WHERE i.inhparent = to_regclass('events') AND bounds LIKE '%TO (''%'
ORDER BY until
"""


async def find_partitions(connection: Connection) -> list[Partition]:
    """Return the partitions with an end, in their order."""
    return [Partition(*row) for row in await connection.fetch_all(_FIND)]


_IS_LARGE = """
SELECT
    (SELECT count(*) FROM (SELECT FROM events_default LIMIT %(searched)s + 1) AS f) > %(searched)s
    OR (
        SELECT count(*)
        FROM (
            SELECT FROM events_default WHERE at >= %(start)s AND at < %(end)s LIMIT %(moved)s + 1
        ) AS f
    ) > %(moved)s
"""
# A copy of the table with the name of the month; creating a partition in one step would lock all of
# events.
_CREATE = "CREATE TABLE {} (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
# Postgres chooses the partition of an insertion before it waits for the lock of that partition: one
# that chose the default partition would fail when its month is attached meanwhile.
_LOCK = """
LOCK TABLE ONLY events IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE events_default IN ACCESS EXCLUSIVE MODE
"""
_TAKE = """
WITH taken AS (DELETE FROM events_default WHERE at >= %s AND at < %s RETURNING *)
SELECT json_agg(taken)::text FROM taken
"""
_ATTACH = "ALTER TABLE events ATTACH PARTITION {} FOR VALUES FROM ('{}') TO ('{}')"
_PUT = """
INSERT INTO events OVERRIDING SYSTEM VALUE
SELECT * FROM json_populate_recordset(NULL::events, %s::json)
"""


async def create_partition(connection: Connection, month: Month) -> None:
    """Create the partition of a month, in a transaction; move its events out of the default one.

    Raises Locked, and TooManyEvents if the default partition would be locked for too long.
    """
    period = {"start": month.start, "end": month.end}
    limits = {"searched": _MAX_SEARCHED, "moved": _MAX_MOVED}
    row = await connection.fetch_one(_IS_LARGE, {**period, **limits})
    if row is None or row[0]:
        raise TooManyEvents("events_default has too many events, which are deleted one by one")
    await connection.execute(_LIMIT_WAIT)
    await connection.execute(_CREATE.format(month.table))
    await connection.execute(_LOCK)
    taken = await connection.fetch_one(_TAKE, (month.start, month.end))
    await connection.execute(_ATTACH.format(month.table, month.start, month.end))
    if taken is not None and taken[0] is not None:
        await connection.execute(_PUT, (taken[0],))


_DROP = "DROP TABLE {}"


async def drop_partition(connection: Connection, partition: Partition) -> None:
    """Drop a partition with its events, in a transaction; raises Locked."""
    await connection.execute(_LIMIT_WAIT)
    await connection.execute(_DROP.format(partition.table))


_NAME = re.compile(r"events_(before_)?(\d{4})_(\d{2})")
_CREATE_MONTH = "CREATE TABLE {} PARTITION OF events FOR VALUES FROM ({}) TO ('{}')"


def creation_of(name: str) -> str | None:
    """Return the statement that creates a partition with a name; None if it is not that of a month.

    The migration from version 4 creates a partition for all events before a month.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    before, year, number = match.groups()
    month = Month.of(datetime(int(year), int(number), 1, tzinfo=UTC))
    if before:
        return _CREATE_MONTH.format(name, "MINVALUE", month.start)
    return _CREATE_MONTH.format(name, f"'{month.start}'", month.end)


def missing_months(found: Sequence[Partition], now: datetime, count: int) -> list[Month]:
    """Return which of ``count`` months, from that of ``now``, have no partition."""
    months = [Month.of(now)]
    while len(months) < count:
        months.append(months[-1].next)
    return [month for month in months if not any(each.overlaps(month) for each in found)]

"""Indexes, keys and foreign keys that exist only after the tables are filled.

Building an index of millions of rows is many times as fast as inserting them into it in random
order. A foreign key is checked by one join instead of a lookup for each row.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg2
from psycopg2 import sql

from db.errors import BackupError
from db.schema import FIND_OWN_TABLES
from postgres.plain_connection import PlainConnection

# Those of partitions belong to their table. Keys exist before the foreign keys that need them.
_FIND_CONSTRAINTS = """
SELECT nspname, relname, conname, pg_get_constraintdef(con.oid)
FROM pg_constraint con
JOIN pg_class c ON c.oid = conrelid
JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = %s AND relname = ANY (%s::text[]) AND contype IN ('p', 'u', 'f')
ORDER BY contype = 'f', con.oid
"""
# The definition of an index of a partitioned table excludes its partitions.
_FIND_INDEXES = """
SELECT nspname, c.relname, replace(pg_get_indexdef(c.oid), ' ON ONLY ', ' ON ')
FROM pg_index i
JOIN pg_class c ON c.oid = indexrelid
JOIN pg_class t ON t.oid = indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE
    nspname = %s AND t.relname = ANY (%s::text[])
    AND NOT EXISTS (SELECT FROM pg_constraint con WHERE conindid = indexrelid)
ORDER BY c.oid
"""


@contextmanager
def deferred_indexes(connection: PlainConnection, tables: Sequence[str]) -> Iterator[None]:
    """Drop the indexes and keys of our tables for the block, in a transaction of the caller.

    Raises BackupError if the rows violate a key.
    """
    found = connection.fetch_all(FIND_OWN_TABLES, (list(tables),))
    [namespace] = {schema for schema, _ in found}
    parameters = (namespace, [table for _, table in found])
    constraints = connection.fetch_all(_FIND_CONSTRAINTS, parameters)
    indexes = connection.fetch_all(_FIND_INDEXES, parameters)
    for schema, name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(schema, name)))
    for schema, table, name, _ in reversed(constraints):
        connection.execute(_alter(schema, table, "DROP", name))
    yield
    for schema, table, name, definition in constraints:
        added = _alter(schema, table, "ADD", name, definition)
        try:
            connection.execute(added)
        except psycopg2.IntegrityError:
            raise BackupError(f"Rows of the backup violate the key {name}.") from None
    for _, _, definition in indexes:
        connection.execute(definition)


def _alter(schema: str, table: str, action: str, name: str, definition: str = "") -> sql.Composable:
    """Return a statement that adds or drops a constraint of a table."""
    return sql.SQL("ALTER TABLE {} {} CONSTRAINT {} {}").format(
        sql.Identifier(schema, table), sql.SQL(action), sql.Identifier(name), sql.SQL(definition)
    )

"""What can go wrong between here and Postgres.

DatabaseError
├── Unavailable   Postgres is away, too slow, out of connections, read-only: try again
├── Failed        a statement was refused: a fault of ours
└── SchemaError   the database holds a schema that this server cannot use
"""


class DatabaseError(Exception):
    """Any failure of the database; its message holds no value of any statement."""


class Unavailable(DatabaseError):
    """Postgres cannot serve now. Nothing is known to have changed."""


class Failed(DatabaseError):
    """Postgres refused a statement, which another try would not change."""


class SchemaError(DatabaseError):
    """The schema in the database is not one that this server can use."""

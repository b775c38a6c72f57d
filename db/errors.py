"""What can go wrong between here and Postgres.

DatabaseError
├── Unavailable   Postgres is away, too slow, out of connections: try again
│   ├── ReadOnly      it is a standby, or takes no writes: what it holds may be out of date
│   └── Locked        another session holds a lock for longer than we wait
├── StatementError        a statement was refused: a fault of ours
├── SchemaError   the database holds a schema that this server cannot use
├── SchemaMissing  the database holds none of ours
├── DatabaseNotEmpty      the database holds users already, or is in use
└── BackupError   a backup cannot be made, or is none
"""


class DatabaseError(Exception):
    """Any failure of the database; its message holds no value of any statement."""


class Unavailable(DatabaseError):
    """Postgres cannot serve now. Nothing is known to have changed."""


class ReadOnly(Unavailable):
    """Postgres is a standby, or takes no writes: no answer of it counts."""


class Locked(Unavailable):
    """Another session holds a lock for longer than a statement waits."""


class StatementError(DatabaseError):
    """Postgres refused a statement, which another try would not change."""


class SchemaError(DatabaseError):
    """The schema in the database is not one that this server can use."""


class SchemaMissing(DatabaseError):
    """There is no schema of ours in the database."""


class DatabaseNotEmpty(DatabaseError):
    """There are users in the database, which are not to be replaced, or somebody uses it."""


class BackupError(DatabaseError):
    """A backup cannot be made, or a file is not a whole one."""

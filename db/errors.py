"""The errors of the database.

DatabaseError
├── Unavailable          Postgres is down, too slow, or out of connections: try again
│   ├── ConnectionRejected  it responds, but accepts no connection with this DSN
│   ├── ReadOnly         it is a standby, or read-only: its data may be outdated
│   ├── Locked           another session holds a lock for longer than the time limit
│   └── Unusable         not before this process is restarted
│       ├── PoolerNotSupported  a pooler in transaction mode is between us and Postgres
│       └── ServerTooOld     the schema in the database needs a newer server
├── StatementError       Postgres rejected a statement: a defect of this server
├── InvalidUrl           the DSN is malformed
├── SchemaError          this server cannot use the schema in the database
├── SchemaMissing        the database has no schema of this server
├── DatabaseNotEmpty     the database contains users, or is in use
└── BackupError          a backup cannot be made, or is damaged
"""


class DatabaseError(Exception):
    """Any failure of the database; its message contains no value of a statement."""


class Unavailable(DatabaseError):
    """Postgres cannot serve now. Nothing is known to have changed."""


class ConnectionRejected(Unavailable):
    """Postgres responds, but accepts no connection; the message is its reason."""


class ReadOnly(Unavailable):
    """Postgres is a standby, or read-only: its answers do not count."""


class Locked(Unavailable):
    """Another session holds a lock for longer than the time limit of a statement."""


class Unusable(Unavailable):
    """This process can use no connection until it is restarted; the message is the reason."""


class PoolerNotSupported(Unusable):
    """A pooler shares Postgres sessions: settings are lost, or prepared statements remain.

    ``evidence`` is what showed it.
    """

    def __init__(self, evidence: str) -> None:
        super().__init__(
            "a connection pooler shares Postgres sessions: use its session mode (in PgBouncer, with"
            f" server_reset_query = DISCARD ALL), or connect to Postgres directly: {evidence}"
        )
        self.evidence = evidence


class ServerTooOld(Unusable):
    """A newer server has migrated the database, and this one must not run beside it."""


class StatementError(DatabaseError):
    """Postgres rejected a statement; another attempt would fail, too."""


class InvalidUrl(DatabaseError):
    """The DSN is malformed; the message, for the administrator, contains no part of it."""


class SchemaError(DatabaseError):
    """This server cannot use the schema in the database; the message is for the administrator."""


class SchemaMissing(DatabaseError):
    """The database contains no schema of this server."""


class DatabaseNotEmpty(DatabaseError):
    """The database contains users that must not be replaced, or is in use."""


class BackupError(DatabaseError):
    """A backup cannot be made, or a file is not a complete backup."""

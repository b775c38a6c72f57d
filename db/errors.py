"""The errors of the database.

DatabaseError
├── Unavailable          Postgres is down, too slow, or out of connections: try again
│   ├── ConnectionRejected  it responds, but accepts no connection with this DSN
│   ├── ReadOnly         it is a standby, read-only or replaced: its data may be outdated
│   ├── TooManyWaiting   sessions wait for a synchronous standby, and nothing ends them
│   ├── NotAcknowledged  no synchronous standby is configured, and lookups need one
│   ├── Locked           another session holds a lock for longer than the time limit
│   ├── WrongPooler      the pooler between us and Postgres is not as in the settings
│   │   ├── UndeclaredPooler     there is one, and database.pooler is "none"
│   │   ├── PoolerNotSupported   it shares sessions, and database.pooler is "session"
│   │   └── RoleSettingsMissing  it shares sessions that lack settings that we need
│   └── Unusable         for as long as this process runs
│       ├── PoolerNotSupported   as above: none of the sessions can be trusted
│       └── ServerTooOld         the schema in the database needs a newer server
├── TooManyEvents        a partition cannot be created without a long lock
├── StatementError       Postgres rejected a statement: a defect of this server
├── InvalidUrl           the DSN is malformed
├── SchemaError          this server cannot use the schema in the database
├── SchemaMissing        the database has no schema of this server
├── DatabaseNotEmpty     the database contains users, or is in use
└── BackupError          a backup cannot be made, or is damaged
"""

from collections.abc import Sequence

from db.advice import CHECK_AND_START, NAME_PRIMARY, advice_about, joined
from settings.dsn import DATABASE_URL

_UNUSABLE = "Postgres cannot be used"


class DatabaseError(Exception):
    """Any failure of the database; its message contains no value of a statement.

    Messages for the log, and for other messages to contain, are reasons without a full stop.
    ``setting`` is the name of the setting that has the DSN.
    """

    setting = DATABASE_URL


class Unavailable(DatabaseError):
    """Postgres cannot serve now. Whether the statement had an effect is not known.

    ``causes`` are the errors of the hosts that were tried, if this one combines them. ``title``
    says what is wrong, and ``advice`` what the administrator should do about a single one.
    """

    causes: Sequence["Unavailable"] = ()
    title = "Postgres does not respond"
    advice = CHECK_AND_START

    @property
    def explanation(self) -> str:
        """Return the title, the reason and the remedy, for the administrator."""
        return f"{self.title}: {self}. {self.remedy}"

    @property
    def remedy(self) -> str:
        """Return what the administrator should do: the advice about each kind of cause."""
        causes = self.causes or (self,)
        # A standby needs none if another host, which responds, can be the primary.
        if any(isinstance(each, ConnectionRejected | TooManyWaiting) for each in causes):
            causes = [each for each in causes if not isinstance(each, ReadOnly)]
        return joined(each.advice for each in causes).format(setting=self.setting)


class ConnectionRejected(Unavailable):
    """Postgres responds, but accepts no connection; the message is its reason."""

    title = "Postgres rejected the connection"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.advice = advice_about(reason)


class ReadOnly(Unavailable):
    """Postgres is a standby, read-only or replaced: its answers must be ignored."""

    title = _UNUSABLE
    advice = NAME_PRIMARY


class TooManyWaiting(Unavailable):
    """As many sessions as allowed wait for a synchronous standby; the message is their number."""

    title = _UNUSABLE
    advice = (
        "Check that a standby named in synchronous_standby_names is running, and follows the"
        " primary."
    )


class NotAcknowledged(Unavailable):
    """No standby has to acknowledge lookups, so the primary may have been replaced unnoticed."""

    title = _UNUSABLE
    advice = (
        "Name a synchronous standby in synchronous_standby_names, or set database.reads = primary."
    )

    def __init__(self) -> None:
        super().__init__("synchronous_standby_names is empty, and lookups have to be acknowledged")


class Locked(Unavailable):
    """Another session holds a lock for longer than the time limit of a statement."""


class Unusable(Unavailable):
    """This process can use no connection until it is restarted; the message is the reason."""


class WrongPooler(Unavailable):
    """There is a pooler between us and Postgres that the settings do not describe, or none.

    The message is for the administrator.
    """


class UndeclaredPooler(WrongPooler):
    """A pooler is between us and Postgres, although the settings name none."""

    def __init__(self) -> None:
        super().__init__(
            "a connection pooler is between this server and Postgres: set database.pooler to its"
            ' mode, "session" or "transaction", or connect to Postgres directly, as'
            " database.direct_url has to"
        )


class PoolerNotSupported(WrongPooler, Unusable):
    """A pooler shares Postgres sessions: settings are lost, or prepared statements remain.

    ``evidence`` describes how that was detected.
    """

    def __init__(self, evidence: str) -> None:
        super().__init__(
            'a connection pooler shares Postgres sessions: set database.pooler = "transaction", use'
            " its session mode (in PgBouncer, with server_reset_query = DISCARD ALL), or connect to"
            f" Postgres directly: {evidence}"
        )
        self.evidence = evidence


class RoleSettingsMissing(WrongPooler):
    """Settings of a session that a pooler shares are wrong; ``statements`` set them."""

    def __init__(self, statements: str) -> None:
        super().__init__(
            "sessions of a pooler in transaction mode need settings of the role; run in psql, and"
            f" then RECONNECT in the console of PgBouncer: {statements}"
        )


class ServerTooOld(Unusable):
    """A newer server has migrated the database, and this one must not run beside it."""


# What an error of several hosts is, if that of one of them is: the first of these kinds. A Postgres
# that rejects a connection, or has too many waiting sessions, may be the primary.
COMBINED = (TooManyWaiting, ConnectionRejected, ReadOnly)


def combined(
    errors: Sequence[Unavailable], kinds: Sequence[type[Unavailable]] = COMBINED
) -> Unavailable:
    """Return one error with the reason of each host, of the first of some kinds among them."""
    kind = next((kind for kind in kinds if any(isinstance(each, kind) for each in errors)), None)
    error = (kind or Unavailable)("; ".join(dict.fromkeys(map(str, errors))))
    error.causes = tuple(cause for each in errors for cause in each.causes or (each,))
    return error


# After one of these errors on one connection, no other connection can be trusted either.
DISCARDING = (ReadOnly, RoleSettingsMissing, Unusable)


class TooManyEvents(DatabaseError):
    """The default partition of events would be locked for too long."""


class StatementError(DatabaseError):
    """Postgres rejected a statement; another attempt would fail, too."""


class InvalidUrl(DatabaseError):
    """The DSN is malformed; the message, for the administrator, contains no part of it.

    The argument continues a sentence that begins with the name of the setting.
    """

    def __str__(self) -> str:
        return f"{self.setting} {super().__str__()}"


class SchemaError(DatabaseError):
    """This server cannot use the schema in the database; the message is for the administrator."""


class SchemaMissing(DatabaseError):
    """The database contains no schema of this server."""


class DatabaseNotEmpty(DatabaseError):
    """The database contains users that must not be replaced, or is in use."""


class BackupError(DatabaseError):
    """A backup cannot be made, or a file is not a complete backup."""

"""The advice of a start or a command when Postgres cannot be used."""

import pytest

from db.errors import (
    ConnectionRejected,
    DatabaseError,
    NotAcknowledged,
    PoolerNotSupported,
    ReadOnly,
    RoleSettingsMissing,
    SchemaError,
    StatementError,
    Unavailable,
)
from wiring.errors import advice

SILENT = "db (10.0.0.5) port 5432: no response in time"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            Unavailable(SILENT),
            (
                f"Postgres does not respond: {SILENT}. Check DATABASE_URL, and that Postgres is"
                " running."
            ),
        ),
        (
            ConnectionRejected('db port 5432: FATAL: role "no" does not exist'),
            (
                'Postgres rejected the connection: db port 5432: FATAL: role "no" does not exist.'
                " Check DATABASE_URL."
            ),
        ),
        (
            ReadOnly("Postgres at db port 5432 is a standby"),
            (
                "Postgres cannot be used: Postgres at db port 5432 is a standby. Name the primary"
                " in DATABASE_URL."
            ),
        ),
        (
            NotAcknowledged(),
            (
                "Postgres cannot be used: synchronous_standby_names is empty, and lookups have to"
                " be acknowledged. Name a synchronous standby in"
                " synchronous_standby_names, or set database.reads = primary."
            ),
        ),
        (
            PoolerNotSupported("DuplicatePreparedStatement, SQLSTATE 42P05"),
            (
                "Postgres cannot be used (see docs/database.md): a connection pooler shares"
                ' Postgres sessions: set database.pooler = "transaction", use its session mode (in'
                " PgBouncer, with server_reset_query = DISCARD ALL), or connect to Postgres"
                " directly: DuplicatePreparedStatement, SQLSTATE 42P05"
            ),
        ),
        (
            RoleSettingsMissing("ALTER ROLE a IN DATABASE b SET lock_timeout = '2000ms';"),
            (
                "Postgres cannot be used (see docs/database.md): sessions of a pooler in"
                " transaction mode need settings of the role; run in psql, and then"
                " RECONNECT in the console of PgBouncer: ALTER ROLE a IN DATABASE b SET"
                " lock_timeout = '2000ms';"
            ),
        ),
        (
            StatementError("UndefinedFunction, SQLSTATE 42883"),
            (
                "Postgres cannot be used: UndefinedFunction, SQLSTATE 42883. Check the options in"
                " DATABASE_URL, and that its role may create tables."
            ),
        ),
        (SchemaError("Use Postgres 13 or newer."), "Use Postgres 13 or newer."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, DatabaseError) else "",
)
def test_the_advice_is_the_reason_and_then_what_to_do(error: DatabaseError, text: str) -> None:
    assert advice(error) == text

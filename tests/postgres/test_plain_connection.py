"""Errors of a blocking connection."""

import pytest

from db.errors import DatabaseError, PoolerNotSupported, StatementError, Unavailable
from postgres.plain_connection import plain_connection


@pytest.mark.parametrize(
    ("statement", "kind", "text"),
    [
        ("nonsense", StatementError, "A statement failed: SyntaxError, SQLSTATE 42601."),
        (
            "EXECUTE missing",
            PoolerNotSupported,
            (
                "a connection pooler shares Postgres sessions: set database.pooler ="
                ' "transaction", use its session mode (in PgBouncer, with server_reset_query ='
                " DISCARD ALL), or connect to Postgres directly: InvalidSqlStatementName, SQLSTATE"
                " 26000"
            ),
        ),
    ],
)
def test_a_statement_that_fails_has_its_reason_after_a_colon(
    dsn: str, statement: str, kind: type[DatabaseError], text: str
) -> None:
    with pytest.raises(DatabaseError) as caught, plain_connection(dsn) as connection:
        connection.execute(statement)
    assert (type(caught.value), str(caught.value)) == (kind, text)


def test_a_connection_that_broke_is_the_reason(dsn: str) -> None:
    with pytest.raises(Unavailable) as caught, plain_connection(dsn) as connection:
        connection.raw.close()
        connection.execute("SELECT 1")
    assert str(caught.value) == (
        "A statement failed: the connection to Postgres broke: InterfaceError."
    )

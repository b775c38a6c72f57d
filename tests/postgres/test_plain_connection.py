"""Errors of a blocking connection."""

import pytest

from db.errors import DatabaseError, PoolerNotSupported, StatementError, Unavailable
from postgres.plain_connection import plain_connection
from tests.harness.processes import free_port


@pytest.mark.parametrize(
    ("statement", "kind", "text"),
    [
        ("nonsense", StatementError, "A statement failed: SyntaxError, SQLSTATE 42601"),
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
        "A statement failed: the connection to Postgres broke: InterfaceError"
    )


def test_the_advice_about_a_failed_connection_has_no_full_stop() -> None:
    """As other reasons: the command line adds it."""
    port = free_port()
    with (
        pytest.raises(Unavailable) as caught,
        plain_connection(f"postgresql://a@127.0.0.1:{port}/x"),
    ):
        pass
    reason = f'connection to server at "127.0.0.1", port {port} failed: Connection refused'
    assert str(caught.value) == (
        f"Postgres does not respond: {reason}. Check DATABASE_URL, and that Postgres is running"
    )

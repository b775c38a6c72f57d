"""The errors of failed connections, in whatever language Postgres reports them."""

import psycopg2
import pytest

from db.errors import ConnectionRejected, DatabaseError, ReadOnly, Unavailable
from db.translation import translate_connection_error

HOST = "127.0.0.1 port 5432"
ATTEMPT = 'connection to server at "127.0.0.1", port 5432 failed: '
UNRECOGNIZED = "If Postgres is neither starting nor out of connections, check DATABASE_URL."


def failure(text: str, host: str = HOST) -> DatabaseError:
    """Return the error for a message of libpq."""
    error = translate_connection_error(psycopg2.OperationalError(text), host)
    assert isinstance(error, DatabaseError)
    return error


def rejection(text: str, host: str = HOST) -> ConnectionRejected:
    """Return the error for a message of libpq about a Postgres that responds."""
    error = failure(text, host)
    assert isinstance(error, ConnectionRejected)
    return error


@pytest.mark.parametrize("host", [HOST, ""])
@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (
            "FATAL:  sorry, too many clients already",
            "Raise the limit of connections, or lower database.pool_max.",
        ),
        (
            "FATAL:  the database system is starting up",
            "Try again when Postgres accepts connections.",
        ),
        ('FATAL:  password authentication failed for user "x"', "Check DATABASE_URL."),
        ('FATAL:  no pg_hba.conf entry for host "::1", no encryption', "Check DATABASE_URL."),
        ("server does not support SSL, but SSL was required", "Check DATABASE_URL."),
        ("FATAL:  tut mir leid, schon zu viele Verbindungen", UNRECOGNIZED),
        ("ВАЖНО:  извините, уже слишком много клиентов", UNRECOGNIZED),
        ("致命错误:  数据库系统启动中", UNRECOGNIZED),
    ],
)
def test_a_rejection_is_recognized_in_any_language(message: str, remedy: str, host: str) -> None:
    error = rejection(f"{ATTEMPT}{message}\n", host)
    assert str(error) == f"{f'{host}: ' if host else ATTEMPT}{' '.join(message.split())}"
    assert error.remedy == remedy


@pytest.mark.parametrize(
    "message",
    [
        "Connection refused\n\tIs the server running on that host?",
        "received invalid response to SSL negotiation: H",
        "server closed the connection unexpectedly\n\tThis probably means: it stopped",
    ],
)
def test_a_failure_that_libpq_reports_is_no_rejection(message: str) -> None:
    error = failure(f"{ATTEMPT}{message}\n")
    assert type(error) is Unavailable
    assert str(error) == f"{HOST}: {message.splitlines()[0]}"


def test_each_of_the_hosts_that_libpq_has_tried_gets_its_advice() -> None:
    reasons = (
        "Connection refused",
        "FATAL:  the database system is shutting down",
        'FATAL:  role "x" does not exist',
        "session is read-only",
    )
    error = rejection("\n".join(f"{ATTEMPT}{reason}" for reason in reasons), host="")
    assert str(error) == "; ".join(f"{ATTEMPT}{' '.join(each.split())}" for each in reasons)
    assert error.remedy == (
        "Try again when Postgres accepts connections. Check DATABASE_URL, and that Postgres is"
        " running."
    )


def test_the_advice_about_a_standby_fits_the_other_hosts_that_libpq_has_tried() -> None:
    standby = failure(f"{ATTEMPT}session is read-only", host="")
    both = failure(f"{ATTEMPT}Connection refused\n{ATTEMPT}session is read-only", host="")
    assert isinstance(standby, ReadOnly)
    assert isinstance(both, ReadOnly)
    assert standby.remedy == "Name the primary in DATABASE_URL."
    assert both.remedy == "Name the primary in DATABASE_URL, and check that it is running."

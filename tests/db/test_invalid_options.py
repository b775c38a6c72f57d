"""Options of DATABASE_URL that libpq rejects."""

import pytest

from db.errors import DatabaseError, InvalidUrl
from db.pool import Database
from tests.harness.databases import use

SECRET = "s3cret"
# Those whose values libpq checks before it connects.
CHECKED = (
    "channel_binding",
    "gssencmode",
    "hostaddr",
    "keepalives",
    "load_balance_hosts",
    "port",
    "require_auth",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslmode",
    "sslnegotiation",
    "tcp_user_timeout",
)
OTHERS = (
    "application_name",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssdelegation",
    "gsslib",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "passfile",
    "replication",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "sslcert",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
)


def failure(option: str) -> DatabaseError:
    """Return the error of a URL that has an unusable value of an option."""

    async def work(_: Database) -> None:
        raise AssertionError("the database was opened")

    with pytest.raises(DatabaseError) as raised:
        use(f"postgresql://u:p@127.0.0.1:1/x?{option}={SECRET}", work)
    return raised.value


@pytest.mark.parametrize("option", CHECKED)
def test_an_invalid_value_is_reported_by_the_name_of_its_option(option: str) -> None:
    error = failure(option)
    assert isinstance(error, InvalidUrl)
    assert str(error) == f"DATABASE_URL has an invalid {option} value."


@pytest.mark.parametrize("option", OTHERS)
def test_no_error_quotes_the_value_of_an_option(option: str) -> None:
    assert SECRET not in str(failure(option))

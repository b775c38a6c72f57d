"""The DSN of Postgres."""

import psycopg2
from psycopg2.extensions import parse_dsn

from db.errors import InvalidUrl


def parse_url(dsn: str) -> dict[str, str]:
    """Return the parts of a DSN; raises InvalidUrl."""
    try:
        return dict(parse_dsn(dsn))
    except psycopg2.ProgrammingError:
        # Neither the message of libpq nor a traceback may be shown: they quote the password.
        raise InvalidUrl(
            "DATABASE_URL is malformed: check its percent-encoding, and the names and values of the"
            " options after the question mark."
        ) from None


def describe(dsn: str) -> str:
    """Return the hosts and the database of a DSN, without the user and the password."""
    parts = parse_url(dsn)
    return f"{parts.get('host', 'localhost')}/{parts.get('dbname', parts.get('user', ''))}"

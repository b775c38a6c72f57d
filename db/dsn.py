"""The DSN of Postgres."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import parse_dsn

from db.errors import DatabaseError, InvalidUrl
from db.hosts import Host, find_hosts
from settings.dsn import setting_of


def parse_url(dsn: str) -> dict[str, str]:
    """Return the parts of a DSN; raises InvalidUrl."""
    try:
        return dict(parse_dsn(dsn))
    except psycopg2.ProgrammingError:
        # Neither the message of libpq nor a traceback may be shown: they may quote the password.
        raise InvalidUrl(
            "is malformed: check its percent-encoding, and the names and values of the options"
            " after the question mark."
        ) from None


def describe(dsn: str) -> str:
    """Return the hosts and the database of a DSN, without the user and the password."""
    parts = parse_url(dsn)
    hosts = ",".join(map(_location, find_hosts(parts)))
    return f"{hosts}/{parts.get('dbname', parts.get('user', ''))}"


def _location(host: Host) -> str:
    """Return a host and its port in the syntax of a URL."""
    name = host.name or host.address or "localhost"
    if ":" in name:
        name = f"[{name}]"
    return f"{name}:{host.port}" if host.port else name


@contextmanager
def naming(dsn: str) -> Iterator[None]:
    """Name the setting that contains the DSN in an error of the block."""
    try:
        yield
    except DatabaseError as error:
        error.setting = setting_of(dsn)
        raise

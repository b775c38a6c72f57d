"""Warnings of Postgres about a commit.

If the wait for a synchronous standby is cancelled, Postgres commits without the standby, and sends
a warning.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection

from db.errors import Unavailable


@contextmanager
def rejecting_warnings(raw: connection) -> Iterator[None]:
    """Raise Unavailable if the statement of the block commits with a warning.

    Within a transaction, a warning does not concern a commit.
    """
    raw.notices.clear()
    yield
    if raw.notices and raw.get_transaction_status() == TRANSACTION_STATUS_IDLE:
        raise Unavailable("Postgres committed with a warning: a failover may undo it")

"""Reservations of email addresses: for how long."""

from db import reserved_emails
from db.pool import Database
from tests.harness.databases import use
from tests.harness.sql import run_sql

END = "SELECT round(extract(epoch FROM until - now()) / 86400)::integer FROM reserved_emails"


def test_a_reservation_is_extended_and_never_shortened(dsn: str) -> None:
    """The setting may have changed between two deletions of one address."""

    async def work(database: Database) -> None:
        async with database.connection() as connection:
            for days, end in ((7, 7), (1, 7), (9, 9)):
                await reserved_emails.reserve(connection, "digest", days=days)
                assert run_sql(dsn, END) == [(end,)]

    use(dsn, work)

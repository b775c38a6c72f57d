"""The number and the age of messages that are to be sent."""

from db.pool import Database
from mail.backlog import Backlog
from tests.harness.clock import Clock
from tests.harness.databases import use
from tests.harness.mail_queue import insert_messages
from tests.harness.sql import run_sql


def test_messages_that_are_due_or_deferred_are_counted_with_the_age_of_the_oldest(
    dsn: str, clock: Clock
) -> None:
    insert_messages(dsn, clock(), "new@example.com", "sent@example.com")
    insert_messages(dsn, clock() - 100, "old@example.com")
    insert_messages(dsn, clock() - 500, "deferred@example.com")
    insert_messages(dsn, clock() - 900, "expired@example.com", lifetime=800)
    [unknown] = insert_messages(dsn, clock() - 700, "unknown@example.com")
    run_sql(dsn, "UPDATE messages SET recipient = NULL WHERE id = %s", (unknown,))
    run_sql(
        dsn,
        "UPDATE messages SET due_at = CASE WHEN recipient = 'deferred@example.com' THEN"
        " due_at + interval '10 minutes' END"
        " WHERE recipient IN ('sent@example.com', 'deferred@example.com')",
    )

    async def work(database: Database) -> None:
        backlog = Backlog(database, clock)
        assert (backlog.due, backlog.oldest_seconds) == (0, 0)
        assert await backlog.measure() > 0
        assert (backlog.due, backlog.oldest_seconds) == (3, 500)
        clock.advance(30)
        assert (backlog.due, backlog.oldest_seconds) == (3, 530)
        run_sql(dsn, "DELETE FROM messages")
        await backlog.measure()
        assert (backlog.due, backlog.oldest_seconds) == (0, 0)

    use(dsn, work)

"""The counts of audit events and of revoked tokens, which metrics show."""

import pytest

from db.errors import DatabaseError
from db.pool import Database
from rules.digests import Digests
from rules.origin import LocalOrigin
from services.audit import AuditTrail
from services.event_kinds import EventKind, Revocation
from services.transactions import transaction_on
from tests.harness.clock import Clock
from tests.harness.databases import use
from tests.harness.sql import run_sql

ORIGIN = LocalOrigin()
REVOKED = (Revocation.SURPLUS, 3)


def trail(database: Database, clock: Clock) -> AuditTrail:
    return AuditTrail(database, Digests("key"), clock)


def test_an_event_and_its_revocations_count_once_they_are_committed(dsn: str, clock: Clock) -> None:
    async def work(database: Database) -> None:
        audit = trail(database, clock)
        async with transaction_on(database) as transaction:
            await audit.write(transaction, EventKind.LOGGED_IN, ORIGIN, revoked=REVOKED)
            assert (audit.counts.issued, audit.counts.revoked[Revocation.SURPLUS]) == (0, 0)
        assert (audit.counts.issued, audit.counts.revoked[Revocation.SURPLUS]) == (1, 3)

    use(dsn, work)


def test_an_event_that_is_rolled_back_does_not_count(dsn: str, clock: Clock) -> None:
    async def work(database: Database) -> None:
        audit = trail(database, clock)
        with pytest.raises(RuntimeError, match="on purpose"):
            async with transaction_on(database) as transaction:
                await audit.write(transaction, EventKind.LOGGED_IN, ORIGIN, revoked=REVOKED)
                raise RuntimeError("on purpose")
        assert set(audit.counts.events.values()) | set(audit.counts.revoked.values()) == {0}

    use(dsn, work)
    assert run_sql(dsn, "SELECT count(*) FROM events") == [(0,)]


def test_an_event_outside_a_transaction_counts_once_it_is_written(dsn: str, clock: Clock) -> None:
    async def work(database: Database) -> None:
        audit = trail(database, clock)
        await audit.record(EventKind.KEY_ADDED, ORIGIN, key_id="key")
        assert audit.counts.events[EventKind.KEY_ADDED] == 1

    use(dsn, work)
    assert run_sql(dsn, "SELECT kind, key_id FROM events") == [("key-added", "key")]


def test_a_failure_that_could_not_be_written_is_counted_for_later(dsn: str, clock: Clock) -> None:
    async def work(database: Database) -> None:
        audit = trail(database, clock)
        run_sql(dsn, "ALTER TABLE events RENAME TO hidden")
        try:
            with pytest.raises(DatabaseError):
                await audit.record(EventKind.PASSWORD_FAILED, ORIGIN, email_key="a")
        finally:
            run_sql(dsn, "ALTER TABLE hidden RENAME TO events")
        assert audit.counts.events[EventKind.PASSWORD_FAILED] == 1
        await audit.write_all_counted()

    use(dsn, work)
    assert run_sql(dsn, "SELECT kind, times FROM events") == [("password-failed", 1)]

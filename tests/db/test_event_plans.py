"""Pages of the audit trail are read by the indexes of its partitions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import pytest

from db import event_stream, events
from db.event_partitions import Month
from db.events import EventFilter
from tests.harness.configuration import ROOT
from tests.harness.databases import new_database
from tests.harness.sql import run_sql

# Each user has 20 events in each month, so no index but its own is right for them.
_FILL = """
INSERT INTO events (at, kind, outcome, user_id, email_digest)
SELECT
    '2026-07-01Z'::timestamptz + n * interval '110 seconds', 'logged-in', 'success',
    md5((n % 1000)::text)::uuid, md5((n % 1000)::text)
FROM generate_series(1, 100000) AS n
"""
_USER = "cfcd2084-95d5-65ef-66e7-dff9f98764da"
_EMAIL = "cfcd208495d565ef66e7dff9f98764da"
_SINCE = datetime(2026, 9, 10, tzinfo=UTC)
_SCAN = re.compile(r"(\w+) Scan[\w ]*? on (events_\d{4}_\d{2})\b")


@pytest.fixture(scope="module")
def filled(postgres: str) -> Iterator[str]:
    """Create a database with 100,000 events in five months, and two empty partitions."""
    with new_database(postgres, "event_plans") as dsn:
        run_sql(dsn, (ROOT / "schema.sql").read_text(encoding="utf-8"))
        month = Month.of(datetime(2026, 7, 1, tzinfo=UTC))
        for _ in range(7):
            run_sql(
                dsn,
                f"CREATE TABLE {month.table} PARTITION OF events"
                f" FOR VALUES FROM ('{month.start}') TO ('{month.end}')",
            )
            month = month.next
        run_sql(dsn, _FILL)
        run_sql(dsn, "ANALYZE events")
        yield dsn


def plan_of(dsn: str, sql: str, parameters: Mapping[str, object] | Sequence[object]) -> str:
    given = parameters if isinstance(parameters, Mapping) else tuple(parameters)
    return "\n".join(row[0] for row in run_sql(dsn, f"EXPLAIN {sql}", given))


def check_indexes(plan: str, months: Sequence[str]) -> None:
    """Assert that the partitions of some months, which have events, are read by an index."""
    scans = _SCAN.findall(plan)
    filled = [(kind, name) for kind, name in scans if name < "events_2026_12"]
    assert {name for _, name in filled} == {f"events_2026_{month}" for month in months}, plan
    assert all(kind in {"Index", "Only", "Heap"} for kind, _ in filled), plan


MONTHS = ("07", "08", "09", "10", "11")
FILTERS = {
    "a user": (EventFilter(user_id=_USER), MONTHS),
    "a user since a time": (EventFilter(user_id=_USER, since=_SINCE), MONTHS[2:]),
    "an email address": (EventFilter(email_digest=_EMAIL), MONTHS),
    "all": (EventFilter(), MONTHS),
    "all since a time": (EventFilter(since=_SINCE), MONTHS[2:]),
    "all after an event": (EventFilter(after=50_000), MONTHS),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_page_of_events_is_read_by_indexes(filled: str, name: str) -> None:
    wanted, months = FILTERS[name]
    plan = plan_of(filled, events.FIND, {**asdict(wanted), "limit": 51})
    check_indexes(plan, months)
    if wanted.user_id is None and wanted.email_digest is None:
        assert "Merge Append" in plan


@pytest.mark.parametrize("user_id", [None, _USER])
def test_a_page_before_an_event_is_read_by_indexes(filled: str, user_id: str | None) -> None:
    [(last,)] = run_sql(filled, "SELECT public_id::text FROM events WHERE id = 50000")
    wanted = EventFilter(before=last, user_id=user_id)
    check_indexes(plan_of(filled, events.FIND, {**asdict(wanted), "limit": 51}), MONTHS)


def test_new_events_are_followed_by_indexes(filled: str) -> None:
    for sql, parameters in (
        (event_stream.FIND_LAST_IDS, (1000,)),
        (event_stream.FIND_AFTER, (99_000, 1000)),
        (event_stream.FIND_BY_IDS, ([*range(99_000, 99_300)], 1000)),
        (events.EXISTS, (_USER,)),
    ):
        check_indexes(plan_of(filled, sql, parameters), MONTHS)


def test_only_the_partitions_of_old_events_are_read_to_delete_them(filled: str) -> None:
    parameters = {"before": datetime(2026, 8, 1, tzinfo=UTC), "limit": 500}
    plan = plan_of(filled, events.DELETE_OLD, parameters)
    assert {name for _, name in _SCAN.findall(plan)} == {"events_2026_07"}, plan

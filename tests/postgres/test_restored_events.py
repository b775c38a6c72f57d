"""The audit trail after a restore: its partitions, its order, and the ids of new events."""

from pathlib import Path

import pytest

from db.schema import SCHEMAS
from tests.harness.backups import backed_up
from tests.harness.command_line import manage
from tests.harness.databases import apply, fill, new_database
from tests.harness.sql import run_sql

BOUNDS = (
    "SELECT relname::text, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition"
    " AND relkind = 'r' ORDER BY relname"
)
EVENTS = "SELECT id, at, kind, tableoid::regclass::text FROM events WHERE kind <> %s ORDER BY id"


def insert(dsn: str, *times: str) -> int:
    """Insert an event for each time; return the id of the last one."""
    rows = run_sql(
        dsn,
        "INSERT INTO events (at, kind, outcome)"
        " SELECT at, 'kind ' || n, 'success'"
        " FROM unnest(%s::timestamptz[]) WITH ORDINALITY AS t (at, n) RETURNING id",
        (list(times),),
    )
    return int(rows[-1][0])


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_restored_trail_has_its_partitions_and_order_and_new_ids_follow(
    postgres: str, empty: str, tmp_path: Path, version: int
) -> None:
    with new_database(postgres, f"trail{version}") as old:
        fill(old, SCHEMAS / "4.sql" if version == 5 else SCHEMAS / f"{version}.sql")
        insert(old, "2025-12-31Z", "2020-01-01Z", "2099-08-01Z")
        if version == 5:
            apply(old)
            run_sql(
                old,
                "CREATE TABLE events_2098_12 PARTITION OF events"
                " FOR VALUES FROM ('2098-12-01Z') TO ('2099-01-01Z')",
            )
            insert(old, "2098-12-31Z", "2097-12-31Z")
        file = backed_up(old, tmp_path)
        ended = manage("restore", str(file), DATABASE_URL=empty)
        assert ended.returncode == 0, ended
        apply(old)
        assert run_sql(empty, BOUNDS) == run_sql(old, BOUNDS)
        assert run_sql(empty, EVENTS, ("restored",)) == run_sql(old, EVENTS, ("restored",))
    [(newest,)] = run_sql(empty, "SELECT max(id) FROM events")
    assert insert(empty, "now") == newest + 1

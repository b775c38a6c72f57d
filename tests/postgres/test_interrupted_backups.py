"""Backups and restores under load, and those that a signal ends."""

import signal
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from db.schema_lock import LOCK
from tests.harness.backups import backed_up, contents, fill_everything, many_events
from tests.harness.command_line import manage, start_command
from tests.harness.sql import run_sql


def wait_for_part(folder: Path, process: "subprocess.Popen[bytes]") -> Path:
    """Wait until a running backup has begun to write; return its file."""
    while process.poll() is None:
        for part in folder.glob(".*.part"):
            if part.stat().st_size:
                return part
        time.sleep(0.002)
    raise AssertionError(process.communicate())


def test_a_backup_under_load_is_a_consistent_snapshot(dsn: str, empty: str, tmp_path: Path) -> None:
    stop = threading.Event()
    insert = (
        "WITH u AS (INSERT INTO users (email, email_key, password_hash)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 'x') RETURNING id)"
        " INSERT INTO tokens (id, user_id, created_at, expires_at)"
        " SELECT gen_random_uuid(), id, now(), now() FROM u"
    )

    def write() -> None:
        while not stop.is_set():
            run_sql(dsn, insert)

    writers = [threading.Thread(target=write) for _ in range(3)]
    with many_events(dsn):
        for writer in writers:
            writer.start()
        try:
            file = backed_up(dsn, tmp_path)
            [(later,)] = run_sql(dsn, "SELECT count(*) FROM users")
        finally:
            stop.set()
            for writer in writers:
                writer.join()
    assert manage("restore", str(file), DATABASE_URL=empty).returncode == 0
    [(users, tokens)] = run_sql(
        empty, "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM tokens)"
    )
    assert 0 < users == tokens < later


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_backup_leaves_no_file_that_looks_complete(
    dsn: str, tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "backup"
    with many_events(dsn):
        process = start_command("backup", str(file), DATABASE_URL=dsn)
        wait_for_part(tmp_path, process)
        children = psutil.Process(process.pid).children()
        process.send_signal(number)
        process.communicate(timeout=20)
        _, alive = psutil.wait_procs(children, timeout=20)
    assert (process.returncode, alive) != (0, [])
    assert alive == []
    left = list(tmp_path.iterdir())
    if number != signal.SIGKILL:
        assert left == []
    for part in left:
        assert part.suffix == ".part"
        ended = manage("restore", str(part), DATABASE_URL=dsn)
        assert (ended.returncode, "not a complete backup" in ended.stderr) == (1, True)


def test_a_restore_waits_for_a_server_that_holds_the_schema_lock(
    dsn: str, empty: str, tmp_path: Path
) -> None:
    file = backed_up(dsn, tmp_path)
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    process = start_command("restore", str(file), DATABASE_URL=empty)
    # The lock is taken and released in one statement, while the restore waits for it.
    run_sql(
        empty,
        f"DO $$ BEGIN PERFORM pg_advisory_xact_lock({LOCK});"
        f" WHILE ({waiting}) = 0 LOOP PERFORM pg_sleep(0.01); END LOOP; END $$",
    )
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, b"0 users restored, 0 tokens revoked\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_restore_leaves_the_database_unchanged(
    dsn: str, empty: str, tmp_path: Path, number: signal.Signals
) -> None:
    fill_everything(dsn)
    assert manage("restore", str(backed_up(dsn, tmp_path)), DATABASE_URL=empty).returncode == 0
    before = contents(empty)
    with many_events(dsn):
        file = backed_up(dsn, tmp_path)
    arguments = ("restore", "--replace", "--yes", str(file))
    process = start_command(*arguments, DATABASE_URL=empty)
    # It is in the middle of the only large table.
    filling = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY \"events%'"
    while run_sql(empty, filling) == [(0,)]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert contents(empty) == before
    assert manage(*arguments, DATABASE_URL=empty).returncode == 0

"""Backups and restores: complete, or without effect."""

import asyncio
import itertools
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from db.errors import BackupError
from db.schema import SCHEMAS, TABLES, VERSION
from db.schema_lock import LOCK
from postgres.archives import open_archive
from postgres.programs import find_programs
from postgres.restore import count_replaced
from rules.origin import LocalOrigin
from services.backups import Backups
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.command_line import manage
from tests.harness.configuration import ROOT
from tests.harness.databases import DESCRIBE, SCHEMA, data, fill, new_database
from tests.harness.external_cluster import PASSWORD as CLUSTER_PASSWORD
from tests.harness.external_cluster import external_cluster
from tests.harness.processes import environment, running_server
from tests.harness.programs import get_program
from tests.harness.sql import run_sql

_numbers = itertools.count()
# Text that COPY must escape, and text that resembles its end.
AWKWARD = "tab\there, line\nend\r\n\\.\n\\N 'quoted' \"twice\" ж 😀 \\"
EVERYTHING = """
INSERT INTO users (id, email, email_key, name, password_hash, password_version, disabled_at)
VALUES
    ('00000000-0000-0000-0000-000000000001', 'A@example.com', 'a@example.com', %(awkward)s,
        '$a hash', 7, NULL),
    ('00000000-0000-0000-0000-000000000002', 'b@example.com', 'b@example.com', NULL,
        %(awkward)s, 1, '2026-01-02T03:04:05.678901Z');
INSERT INTO tokens (
    id, user_id, created_at, expires_at, revoked_at, key_id, user_agent, ip, last_used_at
)
SELECT
    gen_random_uuid(),
    CASE WHEN n < 4 THEN '00000000-0000-0000-0000-000000000001'::uuid END,
    now() - n * interval '1 hour', now() + (2.5 - n) * interval '1 day',
    CASE WHEN n > 3 THEN now() END,
    'key', %(awkward)s, CASE WHEN n = 1 THEN '2001:db8::1'::inet END, now()
FROM generate_series(1, 5) AS n;
INSERT INTO clients
VALUES ('id', %(awkward)s, '\\x00ff5c0a', '\\x5c2e0a', now(), now(), now());
INSERT INTO throttle VALUES ('subject', 3, now(), NULL, now(), 'place', NULL);
INSERT INTO reserved_emails VALUES ('digest', now());
INSERT INTO events (at, kind, outcome, user_id, email_digest, ip, client_id, key_id, request_id)
VALUES (now(), 'deleted', 'success', gen_random_uuid(), 'digest', '192.0.2.1', 'c', 'k', 'r');
"""


def fill_everything(dsn: str) -> None:
    """Insert rows into every table, with values that are hard to transfer."""
    awkward = "'" + AWKWARD.replace("'", "''") + "'"
    run_sql(dsn, EVERYTHING.replace("%(awkward)s", awkward))


def contents(dsn: str) -> dict[str, list[object]]:
    """Return every row of every table, as text."""
    return {
        name: sorted(row[0] for row in run_sql(dsn, f"SELECT t::text FROM {name} t"))  # noqa: S608
        for name in TABLES
    }


@pytest.fixture
def empty(postgres: str) -> Iterator[str]:
    """Create an empty database."""
    with new_database(postgres, f"restored{next(_numbers)}") as dsn:
        yield dsn


def backed_up(dsn: str, folder: Path, *arguments: str) -> Path:
    """Back up a database; return the file."""
    file = folder / f"backup{next(_numbers)}"
    ended = manage("backup", str(file), *arguments, DATABASE_URL=dsn)
    assert ended.returncode == 0, ended
    return file


def has_nothing(dsn: str) -> bool:
    return run_sql(dsn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


@contextmanager
def many_events(dsn: str) -> Iterator[None]:
    """Insert enough rows for a backup to take a moment."""
    run_sql(
        dsn,
        "INSERT INTO events (at, kind, outcome, request_id)"
        " SELECT now(), 'x', 'success', gen_random_uuid() FROM generate_series(1, 40000)",
    )
    try:
        yield
    finally:
        run_sql(dsn, "TRUNCATE events")


def started(*arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for_part(folder: Path, process: "subprocess.Popen[bytes]") -> Path:
    """Wait until a running backup has begun to write; return its file."""
    while process.poll() is None:
        for part in folder.glob(".*.part"):
            if part.stat().st_size:
                return part
        time.sleep(0.002)
    raise AssertionError(process.communicate())


def test_a_restore_restores_everything_but_revokes_the_tokens(
    dsn: str, empty: str, tmp_path: Path
) -> None:
    fill_everything(dsn)
    file = tmp_path / "backup"
    ended = manage("backup", str(file), DATABASE_URL=dsn)
    before = contents(dsn)
    assert ended.returncode == 0, ended
    expected = rf"{file}: 2 users, (\d+) bytes, schema version {VERSION}, verified\n"
    shown = re.fullmatch(expected, ended.stdout)
    assert shown, ended
    assert 0 < file.stat().st_size - int(shown[1]) < 1000
    assert "signing keys (SECRET_KEYS)" in ended.stderr
    ended = manage("restore", str(file), DATABASE_URL=empty)
    assert (ended.returncode, ended.stdout) == (0, "2 users restored, 2 tokens revoked\n"), ended
    after = contents(empty)
    for name in set(TABLES) - {"tokens", "events"}:
        assert after[name] == before[name] != []
    assert run_sql(empty, "SELECT count(*) FROM tokens WHERE revoked_at IS NULL") == [(0,)]
    assert len(after["tokens"]) == 5
    assert set(after["events"]) > set(before["events"])
    assert run_sql(empty, "SELECT kind FROM events ORDER BY id") == [
        ("deleted",),
        ("backed-up",),
        ("restored",),
    ]
    assert sorted(run_sql(empty, DESCRIBE)) == sorted(run_sql(dsn, DESCRIBE))


def test_keep_tokens_leaves_the_tokens_unchanged(dsn: str, empty: str, tmp_path: Path) -> None:
    fill_everything(dsn)
    file = backed_up(dsn, tmp_path)
    ended = manage("restore", "--keep-tokens", str(file), DATABASE_URL=empty)
    assert ended.stdout == "2 users restored, tokens kept\n", ended
    assert contents(empty)["tokens"] == contents(dsn)["tokens"]


def test_a_backup_contains_every_table(dsn: str) -> None:
    found = run_sql(dsn, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
    assert sorted(row[0] for row in found) == sorted(TABLES)


def test_after_a_restore_users_log_in_again_and_revoked_tokens_stay_invalid(
    dsn: str, tmp_path: Path
) -> None:
    async def before(url: str) -> tuple[str, str, Path]:
        api = Api(url)
        kept = await api.registered_token()
        revoked = await api.token()
        file = backed_up(dsn, tmp_path)
        answer = await api.request("POST", "/api/user/logout", authorization=bearer(revoked))
        assert answer.status == 204
        assert (await api.register("later@example.com")).status == 201
        api.close()
        return kept, revoked, file

    async def after(url: str, kept: str, revoked: str) -> None:
        api = Api(url)
        for token in (kept, revoked):
            answer = await api.request("GET", "/api/user", authorization=bearer(token))
            assert answer.status == 401
        assert (await api.log_in()).status == 200
        assert (await api.log_in("later@example.com")).status == 401
        api.close()

    variables = {"DATABASE_URL": dsn}
    with running_server(variables, tmp_path / "log") as server:
        kept, revoked, file = asyncio.run(before(server.url))
        ended = manage("restore", "--replace", "--yes", str(file), **variables)
        assert (ended.returncode, "stop them first" in ended.stderr) == (4, True), ended
    ended = manage("restore", "--replace", "--yes", str(file), **variables)
    assert ended.returncode == 0, ended
    with running_server(variables, tmp_path / "log") as server:
        asyncio.run(after(server.url, kept, revoked))


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
        process = started("backup", str(file), DATABASE_URL=dsn)
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


def damaged(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield invalid files, and the expected error for each."""
    whole = "not a complete backup"
    yield whole, b""
    yield whole, b"\0" * 100
    yield whole, b"PGDMP" + b"\0" * 100
    yield whole, content[:-1]
    yield whole, content[: len(content) // 2]
    yield whole, content[: content.rindex(b"\nuserauth-backup")]
    yield whole, content[1:]
    yield whole, content + content
    yield whole, content.replace(b'"rows": {', b'"rows": [', 1)
    middle = len(content) // 2
    yield "SHA-256", content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    version = b'"schema_version": %d'
    yield "supports up to version", content.replace(version % VERSION, version % (VERSION + 1))
    yield "contains tables of another application", content.replace(b'"users": ', b'"pg_authid": ')


def test_a_damaged_file_is_rejected_before_anything_changes(
    dsn: str, empty: str, tmp_path: Path
) -> None:
    fill_everything(dsn)
    content = backed_up(dsn, tmp_path).read_bytes()
    for message, bad in damaged(content):
        file = tmp_path / "bad"
        file.write_bytes(bad)
        ended = manage("restore", str(file), DATABASE_URL=empty)
        assert (ended.returncode, ended.stdout) == (1, ""), ended
        assert message in ended.stderr
        assert "Traceback" not in ended.stderr
        assert has_nothing(empty)


def test_a_wrong_row_count_rolls_the_restore_back(dsn: str, empty: str, tmp_path: Path) -> None:
    fill_everything(dsn)
    content = backed_up(dsn, tmp_path).read_bytes()
    file = tmp_path / "bad"
    file.write_bytes(content.replace(b'"throttle": 1', b'"throttle": 2'))
    ended = manage("restore", str(file), DATABASE_URL=empty)
    assert (ended.returncode, "it is damaged" in ended.stderr) == (1, True), ended
    assert has_nothing(empty)


def test_users_are_replaced_only_with_replace(dsn: str, empty: str, tmp_path: Path) -> None:
    fill_everything(dsn)
    file = str(backed_up(dsn, tmp_path))
    assert manage("restore", file, DATABASE_URL=empty).returncode == 0
    run_sql(empty, "UPDATE users SET name = 'other'")
    before = contents(empty)
    for arguments, code, message in (
        ((), 4, "contains 2 users and 1 clients"),
        (("--replace",), 2, "pass --yes"),
    ):
        ended = manage("restore", file, *arguments, DATABASE_URL=empty)
        assert (ended.returncode, message in ended.stderr) == (code, True), ended
        assert contents(empty) == before
    [(lost,)] = run_sql(empty, "SELECT count(*) FROM events")
    done = manage(
        "restore", file, "--replace", "--yes", DATABASE_URL=empty, SUDO_USER="susan", SUDO_UID="7"
    )
    assert done.returncode == 0
    assert f"{lost} events of the replaced database were deleted" in done.stderr
    assert contents(empty)["users"] == contents(dsn)["users"]
    events = run_sql(empty, "SELECT kind, actor FROM events ORDER BY id DESC LIMIT 1")
    assert [(kind, actor.endswith(" for susan (7)")) for kind, actor in events] == [
        ("restored", True)
    ]


def test_the_prompt_counts_what_a_restore_deletes(dsn: str, empty: str, tmp_path: Path) -> None:
    file = backed_up(dsn, tmp_path)
    fill_everything(dsn)
    terminal, stdin = os.openpty()
    os.write(terminal, b"n\n")
    ended = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "restore", "--replace", str(file)],
        stdin=stdin,
        capture_output=True,
        env=environment(DATABASE_URL=dsn),
        timeout=60,
        check=False,
    )
    os.close(stdin)
    os.close(terminal)
    assert (ended.returncode, b"nothing was changed" in ended.stderr) == (1, True), ended
    assert ended.stdout.startswith(b"Delete 2 users with 2 tokens and 1 client in "), ended
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(2,)]
    assert count_replaced(empty) == {"users": 0, "clients": 0, "tokens": 0}


@pytest.mark.parametrize(
    ("obstacle", "message"),
    [
        ("CREATE VIEW kept AS SELECT * FROM users", "DependentObjectsStillExist"),
        ("UPDATE userauth_schema SET version = version + 1", "has schema version"),
    ],
)
def test_a_database_that_cannot_be_replaced_stays_unchanged(
    dsn: str, empty: str, tmp_path: Path, *, obstacle: str, message: str
) -> None:
    fill_everything(dsn)
    file = str(backed_up(dsn, tmp_path))
    assert manage("restore", file, DATABASE_URL=empty).returncode == 0
    run_sql(empty, obstacle)
    before = contents(empty)
    ended = manage("restore", file, "--replace", "--yes", DATABASE_URL=empty)
    assert (ended.returncode, message in ended.stderr) == (1, True), ended
    assert contents(empty) == before


def test_foreign_tables_are_left_alone(dsn: str, empty: str, tmp_path: Path) -> None:
    file = str(backed_up(dsn, tmp_path))
    run_sql(empty, "CREATE TABLE clients AS SELECT 1 AS kept")
    ended = manage("restore", file, "--replace", "--yes", DATABASE_URL=empty)
    assert (ended.returncode, "already has clients" in ended.stderr) == (1, True), ended
    assert run_sql(empty, "SELECT kept FROM clients") == [(1,)]


@pytest.mark.parametrize("schema", sorted(SCHEMAS.glob("*.sql")), ids=lambda path: path.stem)
def test_a_backup_of_each_released_version_is_migrated(
    postgres: str, dsn: str, empty: str, tmp_path: Path, schema: Path
) -> None:
    with new_database(postgres, f"old{schema.stem}") as old:
        fill(old, schema)
        before = data(old)
        file = backed_up(old, tmp_path)
    ended = manage("restore", "--keep-tokens", str(file), DATABASE_URL=empty)
    assert f"migrated from version {schema.stem}" in ended.stdout, ended
    assert data(empty) == before
    assert run_sql(empty, "SELECT version FROM userauth_schema") == [(VERSION,)]
    assert sorted(run_sql(empty, DESCRIBE)) == sorted(run_sql(dsn, DESCRIBE))
    assert run_sql(empty, "SELECT length(key) > 60 FROM digest_key") == [(True,)]
    with running_server({"DATABASE_URL": empty}, tmp_path / "log") as server:
        assert server.stop() == 0


def test_a_restore_names_users_that_were_deleted_or_disabled_after_the_backup(
    dsn: str, tmp_path: Path
) -> None:
    variables = {"DATABASE_URL": dsn}
    for email in ("deleted", "disabled", "both", "enabled", "nothing"):
        added = manage("users", "add", f"{email}@example.com", stdin=f"{PASSWORD}\n", **variables)
        assert added.returncode == 0, added
    file = str(backed_up(dsn, tmp_path))
    for command, email in (
        ("disable", "disabled"),
        ("disable", "both"),
        ("disable", "enabled"),
        ("enable", "enabled"),
    ):
        assert manage("users", command, f"{email}@example.com", **variables).returncode == 0
    for email in ("deleted", "both"):
        ended = manage("users", "delete", "--yes", f"{email}@example.com", **variables)
        assert ended.returncode == 0
    ended = manage("restore", "--replace", "--yes", file, **variables)
    assert ended.stderr.splitlines()[2:] == [
        "both@example.com was deleted after the backup, and is restored.",
        "deleted@example.com was deleted after the backup, and is restored.",
        "disabled@example.com was disabled after the backup, and is restored.",
    ]


def test_a_restore_waits_for_a_server_that_holds_the_schema_lock(
    dsn: str, empty: str, tmp_path: Path
) -> None:
    file = backed_up(dsn, tmp_path)
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    process = started("restore", str(file), DATABASE_URL=empty)
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
    process = started(*arguments, DATABASE_URL=empty)
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


def test_tables_in_a_separate_schema_are_restored_beside_foreign_tables(
    dsn: str, empty: str, tmp_path: Path
) -> None:
    fill_everything(dsn)
    run_sql(empty, 'CREATE SCHEMA "Our ""own"; CREATE TABLE clients AS SELECT 1 AS kept')
    ours = f"{empty}&options=-csearch_path%3D%22Our%5C%20%22%22own%22"
    first = backed_up(dsn, tmp_path)
    assert manage("restore", str(first), DATABASE_URL=ours).returncode == 0
    second = backed_up(ours, tmp_path)
    ended = manage("restore", "--replace", "--yes", str(second), DATABASE_URL=dsn)
    assert ended.returncode == 0, ended
    assert contents(dsn)["users"] == contents(ours)["users"] != []
    ended = manage("restore", "--replace", "--yes", str(second), DATABASE_URL=ours)
    assert ended.returncode == 0, ended
    assert run_sql(empty, "SELECT kept FROM clients") == [(1,)]


def test_no_process_shows_the_password_in_its_arguments(dsn: str, tmp_path: Path) -> None:
    secret = "the-pässword/of+it"
    url = dsn.replace("userauth@", "userauth:the-p%C3%A4ssword%2Fof%2Bit@")
    with many_events(dsn):
        seen = commands_during("backup", str(tmp_path / "backup"), DATABASE_URL=url)
    for program in ("pg_dump", "pg_restore"):
        assert program in seen
    for part in (secret, "p%C3%A4ssword", "ssword/of", "ssword%2F"):
        assert part not in seen


def test_only_the_owner_can_read_a_backup_and_it_overwrites_none(dsn: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = backed_up(dsn, tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_bytes(b"precious")
    ended = manage("backup", str(file), DATABASE_URL=dsn)
    assert (ended.returncode, "already exists" in ended.stderr) == (4, True)
    assert file.read_bytes() == b"precious"
    assert manage("backup", "--overwrite", str(file), DATABASE_URL=dsn).returncode == 0
    with open_archive(file) as archive:
        archive.check()
    assert list(tmp_path.iterdir()) == [file]
    os.mkfifo(tmp_path / "pipe")
    ended = manage("backup", "--overwrite", str(tmp_path / "pipe"), DATABASE_URL=dsn)
    assert ended.returncode == 4
    assert (tmp_path / "pipe").is_fifo()


def test_a_full_disk_is_reported_and_leaves_no_file(dsn: str, tmp_path: Path) -> None:
    fill_everything(dsn)
    ended = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "backup", str(tmp_path / "backup")],
        env=environment(DATABASE_URL=dsn),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "File too large" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["missing/backup", "/proc/backup", "file/backup"])
def test_an_unwritable_directory_is_reported(dsn: str, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    ended = manage("backup", str(tmp_path / place), DATABASE_URL=dsn)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_keep_removes_old_backups_and_no_other_files(dsn: str, tmp_path: Path) -> None:
    old = [tmp_path / f"userauth-2026010{day}T000000Z.dump" for day in (1, 2, 3)]
    other = tmp_path / "userauth-20260101T000000Z.dump.mine"
    for file in (*old, other):
        file.touch()
    ended = manage("backup", "--keep", "2", str(tmp_path), DATABASE_URL=dsn)
    assert ended.returncode == 0, ended
    new = Path(ended.stdout.partition(":")[0])
    assert re.fullmatch(r"userauth-\d{8}T\d{6}Z\.dump", new.name)
    assert set(tmp_path.iterdir()) == {old[2], other, new}
    assert ended.stdout.count("removed") == 2
    ended = manage("backup", "--keep", "2", str(new), DATABASE_URL=dsn)
    assert (ended.returncode, "needs a directory" in ended.stderr) == (2, True)


def test_a_failed_backup_removes_no_old_backups(tmp_path: Path) -> None:
    old = [tmp_path / f"userauth-2026010{day}T000000Z.dump" for day in (1, 2, 3)]
    for file in old:
        file.touch()
    url = "postgresql://u@127.0.0.1:1/x"
    ended = manage("backup", "--keep", "1", str(tmp_path), DATABASE_URL=url)
    assert (ended.returncode, "does not respond" in ended.stderr) == (1, True)
    assert sorted(tmp_path.iterdir()) == old


def test_a_backup_can_be_written_to_a_pipe(dsn: str, empty: str, tmp_path: Path) -> None:
    fill_everything(dsn)
    process = started("backup", "-", DATABASE_URL=dsn)
    content, errors = process.communicate(timeout=30)
    assert (process.returncode, b"not verified" in errors) == (0, True)
    (tmp_path / "piped").write_bytes(content)
    assert manage("restore", str(tmp_path / "piped"), DATABASE_URL=empty).returncode == 0
    assert contents(empty)["users"] == contents(dsn)["users"]


def test_pg_restore_reads_a_backup(dsn: str, empty: str, tmp_path: Path) -> None:
    fill_everything(dsn)
    file = backed_up(dsn, tmp_path)
    subprocess.run(
        [
            str(find_programs() / "pg_restore"),
            *("--no-owner", "--single-transaction", f"--dbname={empty}", str(file)),
        ],
        check=True,
    )
    assert contents(empty) == contents(dsn)


def test_an_empty_database_cannot_be_backed_up(empty: str, tmp_path: Path) -> None:
    ended = manage("backup", str(tmp_path), DATABASE_URL=empty)
    assert (ended.returncode, "nothing to back up" in ended.stderr) == (3, True)
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_newer_than_every_installed_pg_dump_is_rejected(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postgres.backup.MAJOR_VERSION", "12")
    with (tmp_path / "backup").open("wb") as target:
        backups = Backups(dsn, environ={}, schema=SCHEMA, clock=Clock(), origin=LocalOrigin())
        with pytest.raises(BackupError, match="install postgresql-client-18"):
            backups.write(target)


@pytest.mark.needs("initdb", "openssl")
def test_a_backup_moves_the_embedded_database_to_an_external_cluster(
    open_folder: Path, tmp_path: Path
) -> None:
    embedded = {
        "DATABASE_URL": "embedded",
        "USERAUTH_DATABASE__EMBEDDED_DIR": str(open_folder / "postgres"),
    }

    async def register(url: str) -> str:
        api = Api(url)
        token = await api.registered_token()
        api.close()
        return token

    async def use(url: str, token: str) -> None:
        api = Api(url)
        for shown in (bearer(token), basic("susan@example.com", PASSWORD)):
            answer = await api.request("GET", "/api/user", authorization=shown)
            assert answer.status == 200
        assert (await api.log_in()).status == 200
        api.close()

    with running_server(embedded, tmp_path / "log") as server:
        token = asyncio.run(register(server.url))
        running = manage("backup", str(tmp_path / "running"), **embedded)
        assert running.returncode == 0, running
        asyncio.run(use(server.url, token))
        assert server.stop() == 0
    stopped = manage("backup", str(tmp_path / "stopped"), **embedded)
    assert stopped.returncode == 0, stopped
    assert not (open_folder / "postgres" / "postmaster.pid").exists()
    with external_cluster(open_folder) as url:
        given = {"DATABASE_URL": url}
        moved = manage("restore", "--keep-tokens", str(tmp_path / "stopped"), **given)
        assert (moved.returncode, moved.stdout) == (0, "1 user restored, tokens kept\n"), moved
        with running_server(given, tmp_path / "log") as server:
            asyncio.run(use(server.url, token))
            seen = commands_during("backup", str(tmp_path / "given"), **given)
        assert "sslmode=verify-ca" in seen
        assert CLUSTER_PASSWORD not in seen
        again = manage("restore", str(tmp_path / "given"), "--replace", "--yes", **given)
        assert again.stdout == "1 user restored, 3 tokens revoked\n", again
    # And back, into a new embedded cluster.
    back = embedded | {"USERAUTH_DATABASE__EMBEDDED_DIR": str(open_folder / "back")}
    ended = manage("restore", str(tmp_path / "given"), **back)
    assert ended.returncode == 0, ended


def commands_during(*arguments: str, **variables: str) -> str:
    """Run a command; return the arguments of every process that it started."""
    seen: set[str] = set()
    process = started(*arguments, **variables)
    while process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                seen.add(" ".join(child.cmdline()))
            except psutil.Error:
                continue
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return "\n".join(seen)


@pytest.mark.needs("systemd-analyze")
def test_the_timer_and_its_service_are_valid_units(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.symlink_to("/bin/true")
    for name in ("userauth-backup.service", "userauth-backup.timer"):
        text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
        # Not installed here.
        text = text.replace("/opt/userauth/.venv/bin/python", str(program))
        (tmp_path / name).write_text(text, encoding="utf-8")
    ended = subprocess.run(
        [
            get_program("systemd-analyze"),
            "verify",
            "--man=no",
            *map(str, sorted(tmp_path.glob("*.*"))),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_backup_in_production_needs_neither_keys_nor_pepper(dsn: str, tmp_path: Path) -> None:
    production = {
        "APP_SETTINGS": "production",
        "DATABASE_URL": dsn,
        "SECRET_KEYS": "",
        "PASSWORD_PEPPER": "",
        "USERAUTH_SERVER__TRUSTED_PROXIES": "::1",
    }
    made = manage("backup", str(tmp_path / "made"), **production)
    assert made.returncode == 0, made
    assert "the pepper (PASSWORD_PEPPER), if one is set" in made.stderr
    # The server needs them, which the check reports.
    checked = manage("check", **production)
    assert (checked.returncode, checked.stdout) == (2, "")
    assert "set SECRET_KEYS" in checked.stderr

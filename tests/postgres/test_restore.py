"""Restores: complete, or without effect."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.schema import SCHEMAS, TABLES
from db.schema_version import VERSION
from postgres.programs import find_programs
from postgres.restore import count_replaced
from tests.harness.api import PASSWORD, Api, bearer
from tests.harness.backups import backed_up, contents, fill_everything
from tests.harness.command_line import manage
from tests.harness.configuration import ROOT
from tests.harness.databases import DESCRIBE, apply, data, fill, new_database
from tests.harness.processes import environment, running_server
from tests.harness.sql import run_sql


def has_nothing(dsn: str) -> bool:
    return run_sql(dsn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


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
    assert re.match(rf"2 users, .*, schema version {VERSION}, made at 20.*Z\n", ended.stderr)
    after = contents(empty)
    for name in set(TABLES) - {"tokens", "events", "messages"}:
        assert after[name] == before[name] != []
    # An unsent message would be sent, and a used one would be valid again.
    assert (len(before["messages"]), after["messages"]) == (2, [])
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
    assert contents(empty)["messages"] == []


def test_after_a_restore_users_log_in_again_and_revoked_tokens_stay_invalid(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        monkeypatch.setattr("postgres.exclusive_access._DISCONNECT_SECONDS", 0.1)
        ended = manage("restore", "--replace", "--yes", str(file), **variables)
        assert (ended.returncode, "stop them first" in ended.stderr) == (4, True), ended
    ended = manage("restore", "--replace", "--yes", str(file), **variables)
    assert ended.returncode == 0, ended
    with running_server(variables, tmp_path / "log") as server:
        asyncio.run(after(server.url, kept, revoked))


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


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("tokens_pkey", "INSERT INTO tokens SELECT * FROM tokens LIMIT 1"),
        ("users_email_key_unique", "UPDATE users SET email_key = 'same'"),
        ("tokens_user_id_fkey", "UPDATE tokens SET user_id = gen_random_uuid()"),
    ],
)
def test_rows_that_violate_a_key_roll_the_restore_back(
    postgres: str, empty: str, tmp_path: Path, key: str, change: str
) -> None:
    with new_database(postgres, "without_key") as without_key:
        apply(without_key)
        fill_everything(without_key)
        table = key.partition("_")[0]
        run_sql(without_key, f"ALTER TABLE {table} DROP CONSTRAINT {key}")
        run_sql(without_key, change)
        file = backed_up(without_key, tmp_path)
    ended = manage("restore", str(file), DATABASE_URL=empty)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith(f"\nError: Rows of the backup violate the key {key}.\n")
    assert has_nothing(empty)


def test_every_index_can_be_used_at_once_after_the_tokens_were_revoked(
    dsn: str, empty: str, tmp_path: Path
) -> None:
    fill_everything(dsn)
    run_sql(
        dsn,
        "INSERT INTO tokens (id, user_id, created_at, expires_at, user_agent)"
        " SELECT gen_random_uuid(), id, now(), now() + interval '1 h', repeat('x', n % 70)"
        " FROM (SELECT id FROM users LIMIT 1) AS one, generate_series(1, 2000) AS n",
    )
    assert manage("restore", str(backed_up(dsn, tmp_path)), DATABASE_URL=empty).returncode == 0
    assert run_sql(empty, "SELECT count(*) FROM tokens WHERE revoked_at IS NULL") == [(0,)]
    late = "SELECT indexrelid::regclass::text FROM pg_index WHERE indcheckxmin OR NOT indisvalid"
    assert run_sql(empty, late) == []


def test_users_are_replaced_only_with_replace(dsn: str, empty: str, tmp_path: Path) -> None:
    fill_everything(dsn)
    file = str(backed_up(dsn, tmp_path))
    assert manage("restore", file, DATABASE_URL=empty).returncode == 0
    run_sql(empty, "UPDATE users SET name = 'other'")
    before = contents(empty)
    for arguments, code, message in (
        ((), 4, "contains 2 users and 1 client:"),
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
    assert f"Deleted {lost} events of the replaced database" in done.stderr
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

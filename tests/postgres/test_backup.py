"""Backups: complete and private, or no file."""

import asyncio
import os
import re
import resource
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from db.errors import BackupError
from db.schema import TABLES
from postgres.archives import open_archive
from rules.origin import LocalOrigin
from services.backups import Backups
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.backups import backed_up, contents, fill_everything, many_events
from tests.harness.clock import Clock
from tests.harness.command_line import manage, start_command
from tests.harness.configuration import ROOT
from tests.harness.databases import SCHEMA
from tests.harness.external_cluster import PASSWORD as CLUSTER_PASSWORD
from tests.harness.external_cluster import external_cluster
from tests.harness.processes import environment, running_server
from tests.harness.sql import run_sql


def test_a_backup_contains_every_table(dsn: str) -> None:
    found = run_sql(
        dsn,
        "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace",
    )
    assert sorted(row[0] for row in found) == sorted(TABLES)


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
    process = start_command("backup", "-", DATABASE_URL=dsn)
    content, errors = process.communicate(timeout=30)
    assert (process.returncode, b"not verified" in errors) == (0, True)
    (tmp_path / "piped").write_bytes(content)
    assert manage("restore", str(tmp_path / "piped"), DATABASE_URL=empty).returncode == 0
    assert contents(empty)["users"] == contents(dsn)["users"]


def test_an_empty_database_cannot_be_backed_up(empty: str, tmp_path: Path) -> None:
    for target in (str(tmp_path), "-"):
        ended = manage("backup", target, DATABASE_URL=empty)
        assert (ended.returncode, ended.stdout) == (3, "")
        assert "nothing to back up" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_newer_than_every_installed_pg_dump_is_rejected(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 17.5'\n", encoding="ascii")
    old.chmod(0o755)
    monkeypatch.setattr("postgres.backup.MAJOR_VERSION", "12")
    # The machine may have a pg_dump that is new enough.
    monkeypatch.setattr("postgres.backup._system_programs", lambda: iter([old]))
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
    process = start_command(*arguments, **variables)
    while process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                seen.add(" ".join(child.cmdline()))
            except psutil.Error:
                continue
        time.sleep(0.002)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return "\n".join(seen)


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

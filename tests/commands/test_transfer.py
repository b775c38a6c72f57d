"""Import and export of users."""

import asyncio
import csv
import json
import stat
from pathlib import Path

import pytest

from rules.password_scheme import SCHEME, pepper_id
from tests.harness.api import PASSWORD, Api, basic
from tests.harness.command_line import manage
from tests.harness.imported_users import HASH, MAKERS, written
from tests.harness.processes import running_server
from tests.harness.sql import run_sql


def test_users_with_hashes_of_each_service_log_in_and_get_a_new_hash(
    dsn: str, tmp_path: Path
) -> None:
    emails = [f"user{number}@example.com" for number in range(len(MAKERS))]
    records = [
        {"email": email, "password_hash": make(PASSWORD), "created_at": "2020-01-02T03:04:05Z"}
        for email, make in zip(emails, MAKERS.values(), strict=True)
    ]
    file = written(tmp_path / "users.jsonl", *records)
    ended = manage("users", "import", file, DATABASE_URL=dsn)
    assert ended.stdout.splitlines()[-1] == f"Imported {len(emails)} users.", ended
    assert run_sql(dsn, "SELECT DISTINCT created_at::date::text FROM users") == [("2020-01-02",)]

    async def use(url: str) -> None:
        api = Api(url)
        for email in emails:
            assert (await api.log_in(email, "wrong password")).status == 401
            basic_call = await api.request("GET", "/api/user", authorization=basic(email, PASSWORD))
            assert basic_call.status == 200
            assert (await api.log_in(email)).status == 200
        api.close()

    with running_server({"DATABASE_URL": dsn}, tmp_path / "log") as server:
        asyncio.run(use(server.url))
    count = "SELECT count(*) FROM users WHERE password_hash LIKE '$userauth-%'"
    assert run_sql(dsn, count) == [(len(emails),)]
    kinds = run_sql(dsn, "SELECT count(*) FROM events WHERE kind = 'imported'")
    assert kinds == [(len(emails),)]


def test_expensive_hashes_are_imported_only_where_they_are_allowed(
    dsn: str, tmp_path: Path
) -> None:
    expensive = HASH.replace("$04$", "$15$")
    file = written(tmp_path / "users.jsonl", {"email": "a@example.com", "password_hash": expensive})
    rejected = manage("users", "import", file, DATABASE_URL=dsn)
    assert rejected.returncode == 1
    assert "bcrypt's cost is over 14" in rejected.stderr
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]
    taken = manage("users", "import", "--allow-expensive-hashes", file, DATABASE_URL=dsn)
    assert taken.stdout.splitlines()[-1] == "Imported 1 user.", taken


def test_errors_name_the_line_and_nothing_is_imported(dsn: str, tmp_path: Path) -> None:
    good = {"email": "susan@example.com", "password_hash": HASH}
    file = tmp_path / "users.jsonl"
    written(
        file,
        good,
        {**good, "email": "no address"},
        {**good, "email": "SUSAN@example.com"},
        {"email": "other@example.com", "password_hash": "secret words"},
        {**good, "role": "admin"},
        {"email": "other@example.com"},
        {**good, "email": 5},
        {**good, "email": "early@example.com", "created_at": "0001-01-01T00:00:00+14:00"},
        {**good, "email": "late@example.com", "disabled_at": "9999-12-31T23:59:59-14:00"},
    )
    with file.open("ab") as target:
        target.write(b"{broken\n\xff\n")
    ended = manage("users", "import", str(file), DATABASE_URL=dsn)
    assert ended.returncode == 1
    faults = [line for line in ended.stderr.splitlines() if line.startswith("line ")]
    assert [fault.split(":")[:2] for fault in faults[:8]] == [
        ["line 2", " email"],
        ["line 3", " email"],
        ["line 4", " password_hash"],
        ["line 5", " unknown field"],
        ["line 6", " password_hash"],
        ["line 7", " email"],
        ["line 8", " created_at"],
        ["line 9", " disabled_at"],
    ]
    assert len(faults) == 10
    assert "10 of 11 lines are invalid: nothing was imported." in ended.stderr
    assert "secret words" not in ended.stderr
    assert HASH not in ended.stderr
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


def test_csv_is_imported_and_existing_users_are_unchanged(dsn: str, tmp_path: Path) -> None:
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, password_hash)"
        " VALUES ('Susan@example.com', 'susan@example.com', 'theirs')",
    )
    file = tmp_path / "users.csv"
    with file.open("w", encoding="utf-8", newline="") as target:
        rows = csv.writer(target)
        rows.writerow(["email", "name", "password_hash", "disabled_at"])
        rows.writerow(["susan@example.com", "", HASH, ""])
        rows.writerow(["zoë@example.com", 'Zoë "Z", Miller', HASH, "2026-01-01T00:00:00+01:00"])
    for option, summary in (
        ("--dry-run", "Would import 1 user; skipped 1 that already exist."),
        ("--format=csv", "Imported 1 user; skipped 1 that already exist."),
        ("--format=csv", "Imported 0 users; skipped 2 that already exist."),
    ):
        ended = manage("users", "import", option, str(file), DATABASE_URL=dsn)
        assert ended.stdout.splitlines()[-1] == summary, ended
    assert run_sql(
        dsn,
        "SELECT email, name, password_hash = 'theirs', disabled_at IS NULL FROM users ORDER BY 1",
    ) == [
        ("Susan@example.com", None, True, True),
        ("zoë@example.com", 'Zoë "Z", Miller', False, False),
    ]


def test_an_export_can_be_imported_and_only_its_owner_can_read_it(dsn: str, tmp_path: Path) -> None:
    given = {"email": "susan@example.com", "password_hash": HASH, "name": "Susan"}
    file = written(tmp_path / "users.jsonl", given, {**given, "email": "other@example.com"})
    assert manage("users", "import", file, DATABASE_URL=dsn).returncode == 0
    columns = "SELECT email, name, password_hash, created_at, disabled_at FROM users ORDER BY 1"
    before = run_sql(dsn, columns)
    out = tmp_path / "out.jsonl"
    assert manage("users", "export", str(out), DATABASE_URL=dsn).stdout == "Exported 2 users.\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    again = manage("users", "export", str(out), DATABASE_URL=dsn)
    assert (again.returncode, "exists" in again.stderr) == (4, True)
    run_sql(dsn, "TRUNCATE users CASCADE")
    assert manage("users", "import", str(out), DATABASE_URL=dsn).returncode == 0
    assert run_sql(dsn, columns) == before


def test_a_hash_with_a_pepper_is_imported_only_where_that_pepper_is_set(
    dsn: str, tmp_path: Path
) -> None:
    pepper = "the-pepper-of-this-test-000000000"
    stored = f"{SCHEME}+{pepper_id(pepper)}$2b$04${'.' * 53}"
    file = written(
        tmp_path / "users.jsonl", {"email": "susan@example.com", "password_hash": stored}
    )
    rejected = manage("users", "import", file, DATABASE_URL=dsn)
    assert (rejected.returncode, f"needs the pepper {pepper_id(pepper)}" in rejected.stderr) == (
        1,
        True,
    )
    assert stored not in rejected.stderr
    taken = manage("users", "import", file, DATABASE_URL=dsn, PASSWORD_PEPPER=pepper)
    assert taken.stdout.splitlines()[-1] == "Imported 1 user.", taken


def test_json_lines_can_start_with_a_byte_order_mark(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "users.jsonl"
    record = json.dumps({"email": "susan@example.com", "password_hash": HASH})
    file.write_text(record, encoding="utf-8-sig")
    ended = manage("users", "import", "--dry-run", str(file), DATABASE_URL=dsn)
    assert ended.stdout.splitlines()[-1] == "Would import 1 user.", ended


@pytest.mark.parametrize(("name", "code"), [("users.txt", 2), ("missing.csv", 2)])
def test_a_file_that_cannot_be_read_is_rejected(
    dsn: str, tmp_path: Path, name: str, code: int
) -> None:
    (tmp_path / "users.txt").write_text("", encoding="utf-8")
    ended = manage("users", "import", str(tmp_path / name), DATABASE_URL=dsn)
    assert (ended.returncode, ended.stdout) == (code, "")

"""Import and export of users."""

import asyncio
import csv
import io
import json
import re
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rules.password_scheme import SCHEME, PasswordScheme, pepper_id
from tests.harness.api import PASSWORD, Api, basic
from tests.harness.command_line import Completed, manage, manage_into
from tests.harness.imported_users import HASH, MAKERS, written
from tests.harness.processes import running_server
from tests.harness.row_locks import holding
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
    assert ended.stdout == f"Imported {len(emails)} users.\n", ended
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
    assert taken.stdout == "Imported 1 user.\n", taken


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
        {**good, "email": "x@example.com", "email_verified_at": "2999-01-01T00:00:00Z"},
        {**good, "email": "y@example.com", "language": "fr"},
    )
    with file.open("ab") as target:
        target.write(b"{broken\n\xff\n")
    ended = manage("users", "import", str(file), DATABASE_URL=dsn)
    assert ended.returncode == 1
    faults = [line for line in ended.stderr.splitlines() if line.startswith("line ")]
    assert [fault.split(":")[:2] for fault in faults[:10]] == [
        ["line 2", " email"],
        ["line 3", " email"],
        ["line 4", " password_hash"],
        ["line 5", " role"],
        ["line 6", " password_hash"],
        ["line 7", " email"],
        ["line 8", " created_at"],
        ["line 9", " disabled_at"],
        ["line 10", " email_verified_at"],
        ["line 11", " language"],
    ]
    assert len(faults) == 12
    assert "12 invalid lines of 13: nothing was imported." in ended.stderr
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
        times = ("disabled_at", "email_verified_at")
        rows.writerow(["email", "name", "password_hash", *times, "language"])
        rows.writerow(["susan@example.com", "", HASH, "", "2026-01-01T00:00:00Z", "de"])
        at = "2026-01-01T00:00:00+01:00"
        rows.writerow(["zoë@example.com", 'Zoë "Z", Miller', HASH, at, at, "de"])
    for option, summary in (
        ("--dry-run", "Would import 1 user; skipped 1 that already exist."),
        ("--format=csv", "Imported 1 user; skipped 1 that already exist."),
        ("--format=csv", "Imported 0 users; skipped 2 that already exist."),
    ):
        ended = manage("users", "import", option, str(file), DATABASE_URL=dsn)
        assert (ended.stdout, ended.stderr) == (f"{summary}\n", ""), ended
    assert run_sql(
        dsn,
        "SELECT email, name, password_hash = 'theirs', disabled_at IS NULL,"
        " email_verified_at IS NULL, language FROM users ORDER BY 1",
    ) == [
        ("Susan@example.com", None, True, True, True, None),
        ("zoë@example.com", 'Zoë "Z", Miller', False, False, False, "de"),
    ]


def test_an_export_can_be_imported_and_only_its_owner_can_read_it(dsn: str, tmp_path: Path) -> None:
    given = {"email": "susan@example.com", "password_hash": HASH, "name": "Susan"}
    verified = {"email_verified_at": "2026-01-01T00:00:00Z", "language": "de"}
    other = {**given, **verified, "email": "other@example.com"}
    file = written(tmp_path / "users.jsonl", given, other)
    assert manage("users", "import", file, DATABASE_URL=dsn).returncode == 0
    columns = (
        "SELECT email, name, password_hash, created_at, disabled_at, email_verified_at, language"
        " FROM users ORDER BY 1"
    )
    before = run_sql(dsn, columns)
    # Unverified, and in the default language, unless the file says otherwise.
    assert [row[5:] for row in before] == [(datetime(2026, 1, 1, tzinfo=UTC), "de"), (None, None)]
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
    assert taken.stdout == "Imported 1 user.\n", taken


def test_json_lines_can_start_with_a_byte_order_mark(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "users.jsonl"
    record = json.dumps({"email": "susan@example.com", "password_hash": HASH})
    file.write_text(record, encoding="utf-8-sig")
    ended = manage("users", "import", "--dry-run", str(file), DATABASE_URL=dsn)
    assert ended.stdout == "Would import 1 user.\n", ended


@pytest.mark.parametrize(("name", "code"), [("users.txt", 2), ("missing.csv", 2)])
def test_a_file_that_cannot_be_read_is_rejected(
    dsn: str, tmp_path: Path, name: str, code: int
) -> None:
    (tmp_path / "users.txt").write_text("", encoding="utf-8")
    ended = manage("users", "import", str(tmp_path / name), DATABASE_URL=dsn)
    assert (ended.returncode, ended.stdout) == (code, "")


HEADER = "email,password_hash"
ROW = f"susan@example.com,{HASH}"
OPTIONAL = "created_at, disabled_at, email_verified_at, language"
EXPECTED = f"expected email and password_hash, optionally name, {OPTIONAL}"


def checked(file: Path, dsn: str, *options: str) -> list[str]:
    """Return the errors of a file of users, or the summary."""
    ended = manage("users", "import", "--dry-run", *options, str(file), DATABASE_URL=dsn)
    if ended.returncode == 0:
        return ended.stdout.splitlines()
    return ended.stderr.splitlines()[:-1]


def header_error(file: Path, dsn: str, *options: str) -> str:
    """Return the error of a CSV file whose header is wrong."""
    ended = manage("users", "import", *options, str(file), DATABASE_URL=dsn)
    assert (ended.returncode, ended.stdout) == (1, "")
    found = re.fullmatch(
        r"Error: The header of the CSV file is wrong: (.*)\. Nothing was imported\.\n", ended.stderr
    )
    assert found, ended
    return found[1]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n,\n\n  , \n{ROW}\n,,,\n",
        f"Email,Password_Hash\n{ROW}\n",
        f"email, password_hash\nsusan@example.com, {HASH}\n",
        f"EMAIL;Password Hash\r\nsusan@example.com;{HASH}\r\n",
        f"email\tname\tpassword_hash\nsusan@example.com\tSusan, Queen; II\t{HASH}\n",
        f"{HEADER}\n{ROW},,\n",
        f"\ufeff{HEADER}\n{ROW}\n",
        f'email;name;password_hash\nsusan@example.com;"Susan; Miller";{HASH}',
    ],
    # The hash, which differs between the processes of a run, must not be a part of the names.
    ids=lambda text: text.splitlines()[0],
)
def test_csv_as_spreadsheets_write_it_is_imported(dsn: str, tmp_path: Path, text: str) -> None:
    file = tmp_path / "users.csv"
    file.write_bytes(text.encode())
    assert checked(file, dsn) == ["Would import 1 user."]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (f"{HEADER}\n\n{ROW},x\n", "line 3: has 3 cells, but the header has 2"),
        (f"{HEADER},role\n{ROW},admin\n", "line 2: role: is unknown"),
        (f'{HEADER},name\n{ROW},"a\nb"c\n', "line 2: is not CSV: "),
        (f"{HEADER}\n\n,x\n", "line 3: email: is required"),
    ],
)
def test_an_error_in_csv_shows_the_line_and_what_was_found(
    dsn: str, tmp_path: Path, content: str, error: str
) -> None:
    file = tmp_path / "users.csv"
    file.write_bytes(content.encode())
    [line] = checked(file, dsn)
    assert line.startswith(error)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["users.csv", "users.jsonl"])
def test_a_file_in_utf_16_is_rejected_with_its_encoding(
    tmp_path: Path, name: str, encoding: str
) -> None:
    file = tmp_path / name
    file.write_bytes("\ufeffemail,password_hash\n".encode(encoding))
    ended = manage("users", "import", str(file), DATABASE_URL="nonsense")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "FILE is UTF-16: save it as UTF-8." in ended.stderr


def test_each_line_that_is_not_utf8_is_named(dsn: str, tmp_path: Path) -> None:
    row = f"zoë@example.com,{HASH}\n"
    rows = [f"user{number}@example.com,{HASH}\n".encode() for number in range(300)]
    content = [f"{HEADER}\n".encode(), *rows, row.encode("latin-1"), row.encode()]
    csv_file, json_file = tmp_path / "users.csv", tmp_path / "users.jsonl"
    csv_file.write_bytes(b"".join(content))
    assert checked(csv_file, dsn) == ["line 302: is not UTF-8"]
    record = json.dumps({"email": "zoë@example.com", "password_hash": HASH}, ensure_ascii=False)
    json_file.write_bytes(record.encode() + b"\n\n" + record.encode("latin-1"))
    assert checked(json_file, dsn) == ["line 3: is not UTF-8"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"email": ', "is not JSON: EOF while parsing a value at column 9"),
        ("[1]", "is not an object; each line must be one"),
        ('{"email": "a@example.com", "email": "b@example.com"}', "has a field twice"),
        (f'{{"email": {"[" * 250}{"]" * 250}}}', "is nested too deeply"),
        (f'{{"email": {"9" * 4_301}}}', "has a number with too many digits"),
        (r'{"email": "\ud83d"}', "contains a lone surrogate"),
        ('{"email": null, "password_hash": 5}', "email: is required; password_hash: must"),
        (
            '{"email": "a@example.com", "$2b$x": 1}',
            "a field: is unknown; the known names are email, name",
        ),
    ],
)
def test_an_error_in_json_is_in_words_of_the_file(
    dsn: str, tmp_path: Path, line: str, error: str
) -> None:
    file = tmp_path / "users.jsonl"
    file.write_text(f"\n{line}\n", encoding="utf-8")
    [shown] = checked(file, dsn)
    assert shown.startswith(f"line 2: {error}")


@pytest.mark.parametrize(
    "time",
    [
        *(20240101, "20240101", 0, 1704067200, 1704067200000, "45292", 1.5, True, ["x"], ""),
        *("2024-01-01", "2024-01-01T00:00:00", "2024-01-01 00:00", "2024-13-01T00:00:00Z"),
        *("2024-W01-1T00:00:00Z", "1704067200", "٢٠٢٤-01-01T00:00:00Z"),
    ],
)
def test_a_time_in_another_form_than_rfc_3339_is_rejected(
    dsn: str, tmp_path: Path, time: object
) -> None:
    record = {"email": "susan@example.com", "password_hash": HASH, "created_at": time}
    file = tmp_path / "users.jsonl"
    written(file, record)
    must = "must be a time with a time zone, such as 2024-01-31T12:00:00Z"
    assert checked(file, dsn) == [f"line 1: created_at: {must}"]


def test_times_are_imported_in_rfc_3339_and_as_postgres_prints_them(
    dsn: str, tmp_path: Path
) -> None:
    times = ["2024-01-01T00:00:00Z", "2024-01-01 00:00:00+00", "2024-01-01t05:30:00.0+05:30"]
    file = written(
        tmp_path / "users.jsonl",
        *(
            {"email": f"user{number}@example.com", "password_hash": HASH, "created_at": time}
            for number, time in enumerate(times)
        ),
    )
    assert manage("users", "import", file, DATABASE_URL=dsn).returncode == 0
    stored = run_sql(dsn, "SELECT DISTINCT extract(epoch FROM created_at)::int FROM users")
    assert stored == [(1704067200,)]


def test_users_without_a_password_are_imported_only_with_the_option(
    dsn: str, tmp_path: Path
) -> None:
    hashes: list[dict[str, object]] = [{"password_hash": each} for each in ("", "!x" * 20, None)]
    records = [
        {"email": f"user{number}@example.com", **stored}
        for number, stored in enumerate([*hashes, {}])
    ]
    file = tmp_path / "users.jsonl"
    written(file, *records)
    errors = checked(file, dsn)
    assert len(errors) == 4
    assert all("--without-password" in error for error in errors)
    ended = manage("users", "import", "--without-password", str(file), DATABASE_URL=dsn)
    assert ended.stdout == "Imported 4 users.\n"
    stored = [text for (text,) in run_sql(dsn, "SELECT password_hash FROM users")]
    assert len(set(stored)) == 4
    scheme = PasswordScheme(cost=4)
    assert not any(scheme.verify(guess, text) for guess in ("", "!") for text in stored)
    ended = manage("users", "set-password", "user0@example.com", stdin=PASSWORD, DATABASE_URL=dsn)
    assert ended.returncode == 0, ended


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_invalid_lines_can_be_skipped_and_are_written_to_a_file_to_correct(
    dsn: str, tmp_path: Path, suffix: str
) -> None:
    file, rejects = tmp_path / f"users.{suffix}", tmp_path / f"rejects.{suffix}"
    emails = ["susan@example.com", "nowhere", "SUSAN@example.com", "other@example.com"]
    if suffix == "csv":
        rows = [f"{email},{HASH}\r\n" for email in emails]
        file.write_text("".join([f"{HEADER}\r\n", *rows]), encoding="utf-8", newline="")
    else:
        written(file, *({"email": email, "password_hash": HASH} for email in emails))
    command = ("users", "import", "--skip-invalid", str(rejects), str(file))
    ended = manage(*command, DATABASE_URL=dsn)
    assert ended.stdout == "Imported 2 users; skipped 2 invalid lines.\n", ended
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    assert len(checked(rejects, dsn)) == 1  # susan's exists by now
    assert manage(*command, DATABASE_URL=dsn).returncode == 4  # the file exists
    rejects.unlink()
    written(tmp_path / "valid.jsonl", {"email": "su@example.com", "password_hash": HASH})
    ended = manage(*command[:-1], str(tmp_path / "valid.jsonl"), DATABASE_URL=dsn)
    assert (ended.returncode, rejects.exists()) == (0, False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("users.csv", f"{HEADER}\n{HASH},{HASH}\n"),
        ("users.jsonl", f"{HEADER}\n{ROW}\n"),
    ],
    ids=["columns in another order", "another format"],
)
def test_a_file_without_a_valid_line_is_an_error_although_invalid_ones_are_skipped(
    dsn: str, tmp_path: Path, name: str, text: str
) -> None:
    file, rejects = tmp_path / name, tmp_path / "rejects"
    file.write_text(text, encoding="utf-8")
    command = ("users", "import", "--skip-invalid", str(rejects), str(file))
    for options in ((), ("--dry-run",)):
        ended = manage(*command, *options, DATABASE_URL=dsn)
        assert (ended.returncode, rejects.exists()) == (1, False), ended
        assert "line " in ended.stderr
        assert ": nothing was imported." in ended.stderr


def test_a_dry_run_creates_no_file(dsn: str, tmp_path: Path) -> None:
    file, rejects = tmp_path / "users.csv", tmp_path / "rejects.csv"
    file.write_text(f"{HEADER}\n{ROW}\nnowhere,{HASH}\n", encoding="utf-8")
    summary = checked(file, dsn, "--skip-invalid", str(rejects))
    assert summary == ["Would import 1 user; skipped 1 invalid line."]
    assert not rejects.exists()


def test_a_dry_run_reports_that_the_file_for_invalid_lines_cannot_be_created(
    dsn: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "users.jsonl", {"email": "a@example.com", "password_hash": HASH})
    (tmp_path / "link").symlink_to("nowhere")
    for rejects, code, error in (
        (file, 4, "already exists: choose another name."),
        (tmp_path / "link", 4, "already exists: choose another name."),
        (tmp_path / "missing" / "rejects", 1, "No such file or directory"),
    ):
        command = ("users", "import", "--skip-invalid", str(rejects), file)
        for options in ((), ("--dry-run",)):
            ended = manage(*command, *options, DATABASE_URL=dsn)
            assert (ended.returncode, ended.stdout) == (code, "")
            assert f"{rejects}" in ended.stderr
            assert error in ended.stderr


def test_csv_needs_no_column_of_hashes_without_passwords(dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("email;name\nsusan@example.com;Susan\n", encoding="utf-8")
    assert "(see --without-password)" in header_error(file, dsn)
    assert checked(file, dsn, "--without-password") == ["Would import 1 user."]
    file.write_text("name\nSusan\n", encoding="utf-8")
    assert header_error(file, dsn, "--without-password") == (
        f"expected email, optionally name, password_hash, {OPTIONAL}; found name"
    )


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (f"{HEADER},EMAIL\n", "it has the column email twice"),
        (
            "mail,passwort,$2b$04$x\n",
            f"{EXPECTED}; found mail, passwort, a field",
        ),
        (
            "",
            f"{EXPECTED}; found nothing",
        ),
    ],
)
def test_a_wrong_header_is_an_error_with_the_expected_columns(
    dsn: str, tmp_path: Path, content: str, error: str
) -> None:
    file = tmp_path / "users.csv"
    file.write_bytes(content.encode())
    for options in ((), ("--dry-run",), ("--skip-invalid", str(tmp_path / "rejects"))):
        assert header_error(file, dsn, *options) == error
    assert not (tmp_path / "rejects").exists()


@pytest.mark.parametrize("change", ["a line less", "a line more", "another line"])
def test_a_file_that_changes_between_its_two_readings_is_an_error(
    dsn: str, tmp_path: Path, change: str
) -> None:
    file, rejects = tmp_path / "users.csv", tmp_path / "rejects.csv"
    rows = [f"user{number}@example.com,{HASH}\n" for number in range(3)]
    changed = {"a line less": rows[:1], "a line more": rows, "another line": rows[1:]}[change]
    file.write_text(f"{HEADER}\n{rows[0]}{rows[1]}nowhere,{HASH}\n", encoding="utf-8")

    async def change_it() -> Completed:
        command = ("users", "import", "--skip-invalid", str(rejects), str(file))
        # The first reading ends with a query for the users that exist.
        with holding(dsn, "LOCK TABLE users IN ACCESS EXCLUSIVE MODE") as holder:
            task = asyncio.create_task(asyncio.to_thread(manage, *command, DATABASE_URL=dsn))
            await holder.sees_waiting(task)
            file.write_text("".join([f"{HEADER}\n", *changed]), encoding="utf-8")
        return await task

    ended = asyncio.run(change_it())
    assert ended.returncode == 1
    assert "The file changed while it was read: start again." in ended.stderr
    assert not rejects.exists()
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


def test_an_export_goes_to_standard_output_on_request(dsn: str, tmp_path: Path) -> None:
    record = {"email": "susan@example.com", "password_hash": HASH}
    manage("users", "import", written(tmp_path / "users.jsonl", record), DATABASE_URL=dsn)
    ended = manage("users", "export", "-", DATABASE_URL=dsn)
    assert (ended.returncode, ended.stderr) == (0, "Exported 1 user.\n")
    assert json.loads(ended.stdout)["email"] == "susan@example.com"


def test_a_full_disk_is_reported_in_one_line(dsn: str) -> None:
    add = ("users", "add", "susan@example.com")
    assert manage(*add, stdin=PASSWORD, DATABASE_URL=dsn).returncode == 0
    for command in (("users", "list"), ("users", "export", "-"), ("audit", "list", "--json")):
        # Without a buffer, closing it writes nothing, and cannot fail.
        with Path("/dev/full").open("wb", buffering=0) as full:
            stdout = io.TextIOWrapper(full, encoding="utf-8")
            ended = manage_into(stdout, *command, DATABASE_URL=dsn)
        assert ended.returncode == 1
        [line] = ended.stderr.splitlines()
        assert line == "Error: standard output: No space left on device."

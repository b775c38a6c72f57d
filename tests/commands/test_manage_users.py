"""The administrator's commands for users and the audit trail."""

import asyncio
import json
import os
import pwd
import re
import time
from pathlib import Path
from typing import Any

import pytest

from rules.password_scheme import PasswordScheme
from tests.harness.accounts import event_kinds_in_order
from tests.harness.api import PASSWORD, Api, bearer
from tests.harness.command_line import manage
from tests.harness.mail_queue import insert_messages
from tests.harness.processes import running_server
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
NEW = "another password"


def shown(*arguments: str, dsn: str) -> Any:
    return json.loads(manage(*arguments, "--json", DATABASE_URL=dsn).stdout)


def test_a_user_is_added_disabled_enabled_given_a_new_password_and_deleted(
    dsn: str, tmp_path: Path
) -> None:
    name = ("--name", "Susan")
    added = manage("users", "add", EMAIL, *name, stdin=f"{PASSWORD}\n", DATABASE_URL=dsn)
    assert added.returncode == 0, added

    async def use(url: str) -> None:
        api = Api(url)
        token = await api.token(EMAIL)
        assert (await api.log_in(EMAIL, "wrong password")).status == 401
        details = shown("users", "show", EMAIL, dsn=dsn)
        assert (details["valid_tokens"], details["consecutive_failures"]) == (1, 1)
        assert details["last_login"] is not None
        assert manage("users", "disable", EMAIL, DATABASE_URL=dsn).returncode == 0
        assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401
        assert (await api.log_in(EMAIL)).problem == "account-disabled"
        assert manage("users", "enable", EMAIL, DATABASE_URL=dsn).returncode == 0
        assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401
        token = await api.token(EMAIL)
        changed = manage("users", "set-password", EMAIL, stdin=f"{NEW}\n", DATABASE_URL=dsn)
        assert changed.returncode == 0
        assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401
        await api.token(EMAIL, NEW)
        revoked = manage("users", "revoke-tokens", EMAIL, DATABASE_URL=dsn)
        assert revoked.stdout == f"Revoked 1 token of {EMAIL}.\n"
        assert manage("users", "delete", EMAIL, DATABASE_URL=dsn).returncode == 2
        deleted = manage("users", "delete", EMAIL, "--yes", DATABASE_URL=dsn)
        assert (deleted.returncode, deleted.stdout) == (0, f"Deleted {EMAIL}.\n")
        assert (await api.log_in(EMAIL, NEW)).status == 401
        api.close()

    with running_server({"DATABASE_URL": dsn}, tmp_path / "log") as server:
        asyncio.run(use(server.url))
    assert event_kinds_in_order(dsn) == [
        *("added", "logged-in", "password-failed", "user-read", "disabled", "login-disabled"),
        *("enabled", "logged-in", "password-changed", "logged-in", "tokens-ended", "deleted"),
        "password-failed",
    ]
    of_user = shown("audit", "list", "--user", EMAIL.upper(), "--kind", "deleted", dsn=dsn)
    assert [event["user_id"] for event in of_user] == [added.stdout.strip()]
    assert manage("audit", "list", "--since", "yesterday", DATABASE_URL=dsn).returncode == 2


def test_users_are_listed_in_pages_and_found_by_part_of_the_address_or_name(dsn: str) -> None:
    run_sql(
        dsn,
        "INSERT INTO users (email, email_key, name, password_hash, disabled_at) VALUES"
        " ('Ann@example.com', 'ann@example.com', 'Ann 100%', 'x', NULL),"
        " ('bob@example.com', 'bob@example.com', NULL, 'x', now()),"
        " ('cid@example.net', 'cid@example.net', 'Cid Miller', 'x', NULL)",
    )
    first = manage("users", "list", "--limit", "2", DATABASE_URL=dsn)
    assert [line.split()[0] for line in first.stdout.splitlines()] == [
        *("EMAIL", "Ann@example.com", "bob@example.com"),
    ]
    [after] = re.findall(r"for the next page pass (--after [0-9a-f-]{36})$", first.stderr.strip())
    next_page = shown("users", "list", *after.split(), dsn=dsn)
    assert [user["email"] for user in next_page] == ["cid@example.net"]
    searched = manage("users", "search", "example", "--limit", "2", DATABASE_URL=dsn)
    assert "There may be more" in searched.stderr
    assert manage("users", "search", "example", DATABASE_URL=dsn).stderr == ""
    for arguments, found in (
        (("list", "--after", "bob@example.com"), ["cid@example.net"]),
        (("list", "--disabled"), ["bob@example.com"]),
        (("search", "MILLER"), ["cid@example.net"]),
        (("search", "100%"), ["Ann@example.com"]),
        (("search", "_"), []),
    ):
        users = shown("users", *arguments, dsn=dsn)
        assert [user["email"] for user in users] == found


def test_each_command_takes_an_id_and_confirms_what_it_changed(dsn: str) -> None:
    user_id = manage("users", "add", EMAIL, stdin=f"{PASSWORD}\n", DATABASE_URL=dsn).stdout.strip()
    assert shown("users", "show", user_id.upper(), dsn=dsn)["email"] == EMAIL
    assert [user["id"] for user in shown("users", "search", user_id, dsn=dsn)] == [user_id]
    assert shown("users", "list", "--after", user_id, dsn=dsn) == []
    for arguments, message in (
        (("disable", user_id), f"Disabled {EMAIL}."),
        (("disable", user_id), f"{user_id} was already disabled."),
        (("enable", user_id), f"Enabled {EMAIL}."),
        (("enable", user_id), f"{user_id} was not disabled."),
        (("revoke-tokens", user_id), f"Revoked 0 tokens of {user_id}."),
        (("set-password", user_id), f"Set the password of {EMAIL}."),
        (("delete", user_id, "--yes"), f"Deleted {EMAIL}."),
    ):
        ended = manage("users", *arguments, stdin=f"{NEW}\n", DATABASE_URL=dsn)
        assert (ended.returncode, ended.stdout) == (0, f"{message}\n"), ended
    for arguments in (("enable", user_id), ("list", "--after", user_id)):
        missing = manage("users", *arguments, DATABASE_URL=dsn)
        assert (missing.returncode, missing.stderr) == (
            3,
            f"Error: No user has the ID {user_id}.\n",
        )
    by_id = shown("audit", "list", "--user", user_id, "--limit", "1", dsn=dsn)
    assert [event["kind"] for event in by_id] == ["deleted"]


def test_an_id_without_hyphens_is_an_id(dsn: str) -> None:
    user_id = manage("users", "add", EMAIL, stdin=f"{PASSWORD}\n", DATABASE_URL=dsn).stdout.strip()
    for command in (("users", "show"), ("users", "explain"), ("audit", "list", "--user")):
        ended = manage(*command, user_id.replace("-", ""), DATABASE_URL=dsn)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert user_id in ended.stdout


@pytest.mark.parametrize(
    "command", [("users", "show"), ("users", "explain"), ("users", "delete"), ("throttle", "clear")]
)
@pytest.mark.parametrize("user", ["", " "])
def test_an_empty_name_of_a_user_is_wrong_usage(command: tuple[str, ...], user: str) -> None:
    ended = manage(*command, user, DATABASE_URL="nonsense")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Specify an email address or id." in ended.stderr


def test_a_wrong_address_of_events_is_reported_as_neither_ip_address_nor_network() -> None:
    for address in ("zz", "192.0.2.0/33"):
        ended = manage("audit", "list", "--address", address, DATABASE_URL="nonsense")
        assert ended.returncode == 2
        assert f"{address} is not an IP address or network" in ended.stderr


def test_events_are_found_by_request_and_by_ip_address(dsn: str) -> None:
    run_sql(
        dsn,
        "INSERT INTO events (at, kind, outcome, ip, request_id) VALUES"
        " (now(), 'logged-in', 'success', '198.51.100.7', 'a1'),"
        " (now(), 'logged-in', 'success', '198.51.100.8', 'a2'),"
        " (now(), 'logged-in', 'success', '2001:db8::7', 'a3')",
    )
    for arguments, found in (
        (("--request", "a2"), ["a2"]),
        (("--request", "a"), []),
        (("--address", "198.51.100.7"), ["a1"]),
        (("--address", "198.51.100.7/24"), ["a2", "a1"]),
        (("--address", "2001:db8::/64"), ["a3"]),
        (("--address", "198.51.100.7", "--request", "a2"), []),
    ):
        events = shown("audit", "list", *arguments, dsn=dsn)
        assert [event["request_id"] for event in events] == found


def test_a_list_of_events_that_ends_at_its_limit_names_the_next_page(dsn: str) -> None:
    run_sql(
        dsn,
        "INSERT INTO events (at, kind, outcome, request_id) VALUES"
        " (now(), 'logged-in', 'success', 'a1'), (now(), 'logged-in', 'success', 'a2')",
    )
    command = ("audit", "list", "--kind", "logged-in", "--json", "--limit")
    first = manage(*command, "1", DATABASE_URL=dsn)
    [before] = re.findall(r"There may be more; .* pass (--before \S+)\n", first.stderr)
    second = manage(*command, "2", *before.split(), DATABASE_URL=dsn)
    assert second.stderr == ""
    assert [each["request_id"] for each in json.loads(second.stdout)] == ["a1"]


def test_an_unknown_event_to_list_before_is_not_found(dsn: str) -> None:
    assert manage("users", "list", DATABASE_URL=dsn).returncode == 0
    [event] = shown("audit", "list", dsn=dsn)
    assert shown("audit", "list", "--before", event["id"], dsn=dsn) == []
    unknown = "00000000-0000-0000-0000-000000000000"
    ended = manage("audit", "list", "--before", unknown, DATABASE_URL=dsn)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert f"No event has the ID {unknown}." in ended.stderr


def test_a_rejection_gives_the_reason_and_no_password(dsn: str) -> None:
    assert manage("users", "add", EMAIL, stdin=f"{PASSWORD}\n", DATABASE_URL=dsn).returncode == 0
    for text, arguments, code, message in (
        (PASSWORD, ("add", EMAIL), 4, "already exists"),
        ("hunter2", ("add", "no address"), 2, "password must have"),
        ("hunter2", ("set-password", EMAIL), 2, "password must have"),
        (PASSWORD, ("set-password", "unknown@example.com"), 3, "No user has"),
        ("", ("show", "unknown@example.com"), 3, "No user has"),
        ("", ("disable", "unknown@example.com"), 3, "No user has"),
    ):
        ended = manage("users", *arguments, stdin=text, DATABASE_URL=dsn)
        assert (ended.returncode, ended.stdout) == (code, ""), ended
        assert message in ended.stderr
        assert "hunter2" not in ended.stderr
    assert event_kinds_in_order(dsn) == ["added"]


def test_reading_users_is_an_event_that_names_the_administrator(dsn: str) -> None:
    user_id = manage("users", "add", EMAIL, stdin=f"{PASSWORD}\n", DATABASE_URL=dsn).stdout.strip()
    sudo = {"SUDO_USER": "susan", "SUDO_UID": "1000"}
    account = f"{pwd.getpwuid(os.getuid()).pw_name} ({os.getuid()})"
    for arguments in (
        ("users", "show", EMAIL),
        ("users", "list"),
        ("users", "search", "susan"),
        ("audit", "list"),
    ):
        assert manage(*arguments, DATABASE_URL=dsn, **sudo).returncode == 0
    assert manage("users", "show", "unknown@example.com", DATABASE_URL=dsn).returncode == 3
    written = run_sql(dsn, "SELECT kind, user_id::text, actor FROM events ORDER BY id")
    assert written == [
        ("added", user_id, account),
        ("user-read", user_id, f"{account} for susan (1000)"),
        ("users-listed", None, f"{account} for susan (1000)"),
        ("users-listed", None, f"{account} for susan (1000)"),
        ("audit-read", None, f"{account} for susan (1000)"),
    ]
    newest, *older = shown("audit", "list", dsn=dsn)
    assert (newest["kind"], newest["actor"]) == ("audit-read", f"{account} for susan (1000)")
    assert (newest["times"], len(older)) == ("1", 4)
    assert shown("audit", "list", "--before", newest["id"], dsn=dsn) == older


def test_a_command_that_changes_nothing_writes_no_event(dsn: str) -> None:
    assert manage("users", "add", EMAIL, stdin=f"{PASSWORD}\n", DATABASE_URL=dsn).returncode == 0
    for command in ("enable", "revoke-tokens", "disable", "disable", "enable", "enable"):
        assert manage("users", command, EMAIL, DATABASE_URL=dsn).returncode == 0
    assert event_kinds_in_order(dsn) == ["added", "disabled", "enabled"]


def test_changes_of_keys_and_clients_are_events(dsn: str, tmp_path: Path) -> None:
    assert manage("clients", "add", "billing", DATABASE_URL=dsn).returncode == 0
    assert manage("clients", "rotate", "billing", DATABASE_URL=dsn).returncode == 0
    assert manage("clients", "remove", "billing", DATABASE_URL=dsn).returncode == 0
    file = tmp_path / "keys"
    file.write_text("a-key-of-more-than-32-characters-1\n", encoding="ascii")
    file.chmod(0o600)
    variables = {"DATABASE_URL": dsn, "SECRET_KEYS": "", "USERAUTH_TOKENS__KEYS_FILE": str(file)}
    assert manage("keys", "add", **variables).returncode == 0
    assert manage("keys", "retire", **variables).returncode == 0
    assert event_kinds_in_order(dsn) == [
        *("client-added", "client-secret-replaced", "client-removed"),
        *("key-added", "key-retired"),
    ]


@pytest.mark.parametrize("arguments", [("show", "a\udcff@b"), ("search", "\udcff")])
def test_an_argument_that_is_not_utf_8_is_rejected_with_a_message(
    dsn: str, arguments: tuple[str, ...]
) -> None:
    ended = manage("users", *arguments, DATABASE_URL=dsn)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Argument 3 is not UTF-8." in ended.stderr


def test_the_previous_name_of_revoke_tokens_works_with_a_warning(dsn: str) -> None:
    assert manage("users", "add", EMAIL, stdin=f"{PASSWORD}\n", DATABASE_URL=dsn).returncode == 0
    ended = manage("users", "end-tokens", EMAIL, DATABASE_URL=dsn)
    assert (ended.returncode, ended.stdout) == (0, f"Revoked 0 tokens of {EMAIL}.\n")
    assert "deprecated" in ended.stderr
    assert "revoke-tokens" in ended.stderr
    assert "end-tokens" not in manage("users", "--help").stdout


def test_events_since_a_duration_are_listed(dsn: str) -> None:
    assert manage("users", "add", EMAIL, stdin=PASSWORD, DATABASE_URL=dsn).returncode == 0
    run_sql(dsn, "UPDATE events SET at = at - interval '2 hours'")
    assert shown("audit", "list", "--since", "1h", dsn=dsn) == []
    for duration in ("3h", "150m", "8000s", "1d"):
        found = shown("audit", "list", "--since", duration, "--kind", "added", dsn=dsn)
        assert len(found) == 1
    ended = manage("audit", "list", "--since", "1y", DATABASE_URL=dsn)
    assert (ended.returncode, "1h or 7d before now" in ended.stderr) == (2, True)


@pytest.mark.parametrize("since", ["999999d", "999999999d"])
def test_a_duration_that_begins_before_the_first_year_is_wrong_usage(dsn: str, since: str) -> None:
    ended = manage("audit", "list", "--since", since, DATABASE_URL=dsn)
    assert (ended.returncode, "before now" in ended.stderr) == (2, True)


def test_all_events_are_listed_since_a_time_before_the_first_year(dsn: str) -> None:
    assert manage("users", "add", EMAIL, stdin=PASSWORD, DATABASE_URL=dsn).returncode == 0
    events = shown("audit", "list", "--since", "0001-01-01T00:00:00+14:00", dsn=dsn)
    assert [event["kind"] for event in events] == ["added"]


def test_an_id_of_a_user_is_given_with_one_option_only(dsn: str) -> None:
    one, other = (
        manage("users", "add", email, stdin=PASSWORD, DATABASE_URL=dsn).stdout.strip()
        for email in (EMAIL, "ben@example.com")
    )
    for given in (one, one.replace("-", "").upper()):
        ended = manage("audit", "list", "--user", given, "--user-id", other, DATABASE_URL=dsn)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "--user or with --user-id" in ended.stderr
    for user_id, found in ((one, ["added"]), (other, [])):
        events = shown("audit", "list", "--user", EMAIL, "--user-id", user_id, dsn=dsn)
        assert [event["kind"] for event in events] == found


def test_a_byte_order_mark_before_a_password_is_ignored(dsn: str) -> None:
    """PowerShell pipes one."""
    piped = b"\xef\xbb\xbf" + PASSWORD.encode() + b"\r\n"
    assert manage("users", "add", EMAIL, stdin=piped, DATABASE_URL=dsn).returncode == 0
    set_again = manage("users", "set-password", EMAIL, stdin=piped, DATABASE_URL=dsn)
    assert set_again.returncode == 0
    [(stored,)] = run_sql(dsn, "SELECT password_hash FROM users")
    assert PasswordScheme(cost=4).verify(PASSWORD, stored)


def test_a_password_that_is_not_utf_8_is_rejected_with_a_message(dsn: str) -> None:
    for command in ("add", "set-password"):
        ended = manage("users", command, EMAIL, stdin=b"J\xfcrgen 12345\n", DATABASE_URL=dsn)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "The password on standard input is not UTF-8." in ended.stderr


def test_white_space_around_an_address_is_ignored(dsn: str) -> None:
    padded = f" {EMAIL}\u00a0"
    assert manage("users", "add", padded, stdin=PASSWORD, DATABASE_URL=dsn).returncode == 0
    assert run_sql(dsn, "SELECT email FROM users") == [(EMAIL,)]
    assert manage("users", "show", f"{EMAIL} ", DATABASE_URL=dsn).returncode == 0
    assert len(shown("audit", "list", "--user", padded, dsn=dsn)) == 2


def test_enabling_a_user_makes_messages_void_that_were_stored_while_it_was_disabled(
    dsn: str,
) -> None:
    """A request that found the user before may store one afterwards."""
    user_id = manage("users", "add", EMAIL, stdin=f"{PASSWORD}\n", DATABASE_URL=dsn).stdout.strip()
    assert manage("users", "disable", EMAIL, DATABASE_URL=dsn).returncode == 0
    for kind in ("password-reset", "email-undo"):
        insert_messages(dsn, time.time(), EMAIL, kind=kind, user_id=user_id)
    assert manage("users", "enable", EMAIL, DATABASE_URL=dsn).returncode == 0
    assert run_sql(dsn, "SELECT count(voided_at), count(due_at) FROM messages") == [(2, 0)]

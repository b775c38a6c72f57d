"""``users explain``: each reason why a user cannot log in is named, with what ends it."""

import json
import re
from typing import Any

import pytest

from tests.harness.accounts import event_kinds_in_order
from tests.harness.api import PASSWORD, Answer, Api, basic
from tests.harness.command_line import Completed, manage
from tests.harness.configuration import ROOT, override_settings
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
WRONG = "wrong password"
HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"
LIMITS = {
    "THROTTLE__FIRST_DELAY_SECONDS": 100,
    "THROTTLE__PAIR_FAILURES": 2,
    "THROTTLE__ACCOUNT_FAILURES": 3,
    "THROTTLE__ADDRESS_FAILURES": 4,
    "THROTTLE__MAX_CONSECUTIVE_FAILURES": 10,
}
throttled = override_settings(SERVER__TRUSTED_PROXIES="127.0.0.0/8", **LIMITS)


async def log_in(api: Api, password: str = WRONG, *, ip: str = HOME, email: str = EMAIL) -> Answer:
    return await api.log_in(email, password, ip=ip)


def explain(dsn: str, *arguments: str, **variables: str) -> Completed:
    return manage("users", "explain", *arguments, DATABASE_URL=dsn, **variables)


def codes(dsn: str, *arguments: str) -> list[str]:
    document: dict[str, Any] = json.loads(explain(dsn, *arguments, "--json").stdout)
    return [reason["code"] for reason in document["reasons"]]


@pytest.mark.gen_test
async def test_a_user_who_can_log_in_has_no_reason_but_failures_are_shown(
    api: Api, dsn: str
) -> None:
    await api.register(EMAIL)
    await api.log_in(EMAIL)
    await api.log_in(EMAIL, "wrong password")
    ended = explain(dsn, EMAIL)
    assert (ended.returncode, ended.stderr) == (0, "")
    first, nothing, login, failure = ended.stdout.splitlines()
    assert first.startswith(f"{EMAIL} (")
    assert "Nothing prevents a login" in nothing
    assert "Last login: 20" in login
    assert failure.endswith("from 127.0.0.1: password-failed")
    assert codes(dsn, EMAIL) == []


@pytest.mark.gen_test
async def test_a_user_is_found_by_id_and_an_address_one_slip_away_is_shown(
    api: Api, dsn: str
) -> None:
    user_id = (await api.register(EMAIL)).json["id"]
    assert explain(dsn, user_id).stdout.startswith(f"{EMAIL} ({user_id})")
    for slip in (
        "susn@example.com",
        "susann@example.com",
        "susam@example.com",
        "ssuan@example.com",
    ):
        ended = explain(dsn, slip)
        assert (ended.returncode, ended.stdout) == (3, "")
        assert f"No user has the email address {slip}. Similar: {EMAIL}." in ended.stderr
    full_width = "".join(chr(ord(letter) + 0xFEE0) for letter in EMAIL)
    for text in ("susan", full_width, full_width[:5], full_width[:5] + EMAIL[5:]):
        assert f"Similar: {EMAIL}." in explain(dsn, text).stderr
    assert "Similar" not in explain(dsn, "usan").stderr
    ended = explain(dsn, "kim@example.com", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["similar"]) == (3, [])
    unknown = user_id[:-1] + ("0" if user_id[-1] != "0" else "1")
    assert f"No user has the ID {unknown}." in explain(dsn, unknown).stderr


@override_settings(REGISTRATION__QUARANTINE_DAYS=7)
@pytest.mark.gen_test
async def test_the_address_of_a_deleted_user_is_reserved_until_a_time(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    await api.request("DELETE", "/api/user", authorization=basic(EMAIL, PASSWORD))
    assert (
        "A deleted user had it; it can be registered again after 20" in explain(dsn, EMAIL).stderr
    )


@pytest.mark.gen_test
async def test_a_disabled_user_is_named_and_the_correct_password_is_an_event(
    api: Api, dsn: str
) -> None:
    await api.register(EMAIL)
    assert manage("users", "disable", EMAIL, DATABASE_URL=dsn).returncode == 0
    for _ in range(3):
        assert (await api.log_in(EMAIL)).problem == "account-disabled"
    assert codes(dsn, EMAIL) == ["disabled"]
    shown = explain(dsn, EMAIL).stdout
    [user_id] = run_sql(dsn, "SELECT id::text FROM users")[0]
    assert f"to end it: userauth-manage users enable {user_id}" in shown
    assert shown.count("login-disabled") == 1


@throttled
@pytest.mark.gen_test
async def test_a_wait_is_shown_with_its_count_and_until_when(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    statuses = [(await log_in(api)).status for _ in range(4)]
    assert statuses == [401, 401, 429, 429]
    assert codes(dsn, EMAIL) == codes(dsn, EMAIL, "--address", HOME) == ["throttled-pair"]
    shown = explain(dsn, EMAIL).stdout
    assert f"throttled at {HOME} until 20" in shown
    assert "after 2 failed attempts of this account there" in shown
    assert shown.count("login-rejected") == 1
    assert codes(dsn, EMAIL, "--address", ELSEWHERE) == []
    assert (await log_in(api, ip=ELSEWHERE)).status == 401
    assert codes(dsn, EMAIL, "--address", ELSEWHERE) == ["throttled"]


@throttled
@pytest.mark.gen_test
async def test_after_a_wait_the_count_and_the_next_wait_are_shown(api: Api, dsn: str) -> None:
    limits = {f"USERAUTH_{name}": str(value) for name, value in LIMITS.items()}
    await api.register(EMAIL)
    for _ in range(2):
        await log_in(api)
    run_sql(dsn, "UPDATE throttle SET next_at = now() - interval '1 s' WHERE next_at IS NOT NULL")
    assert codes(dsn, EMAIL) == []
    shown = explain(dsn, EMAIL, **limits).stdout
    assert "Nothing prevents a login" in shown
    assert f"2 failed attempts from {HOME}; the next one starts a wait of 200 s" in shown
    # The statement is true.
    assert (await log_in(api)).status == 401
    waits = run_sql(dsn, "SELECT extract(epoch FROM max(next_at - last_at))::int FROM throttle")
    assert waits == [(200,)]
    run_sql(dsn, "UPDATE throttle SET next_at = NULL, last_at = now() - interval '2 h'")
    assert "the next one" not in explain(dsn, EMAIL, **limits).stdout


@throttled
@pytest.mark.gen_test
async def test_the_sample_in_the_documents_looks_like_the_output(api: Api, dsn: str) -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    [sample] = re.findall(r"^```\n(susan@.*?)^```$", page, re.MULTILINE | re.DOTALL)
    await api.register(EMAIL)
    await log_in(api, PASSWORD)
    for _ in range(4):
        await log_in(api)
    shown = {shape(line) for line in explain(dsn, EMAIL).stdout.splitlines()}
    assert [line for line in sample.splitlines() if shape(line) not in shown] == []


def shape(line: str) -> str:
    """Return a line with all ids and numbers made equal, and without how often it happened."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]+|\d+", "0", re.sub(r", \d+ times$", "", line))


@throttled
@pytest.mark.gen_test
async def test_the_usual_network_is_shown_and_failures_elsewhere_do_not_count_there(
    api: Api, dsn: str
) -> None:
    await api.register(EMAIL)
    await log_in(api, PASSWORD)
    for number in range(3):
        await log_in(api, ip=f"192.0.2.{number}")
    assert codes(dsn, EMAIL) == ["throttled"]
    assert codes(dsn, EMAIL, "--address", HOME) == []
    assert "is in the network of the last login" in explain(dsn, EMAIL, "--address", HOME).stdout
    run_sql(dsn, "UPDATE throttle SET failures = 8, next_at = 'infinity' WHERE place IS NOT NULL")
    assert codes(dsn, EMAIL) == ["locked-elsewhere"]
    run_sql(dsn, "UPDATE throttle SET place_next_at = 'infinity' WHERE place IS NOT NULL")
    assert codes(dsn, EMAIL, "--address", HOME) == ["locked"]
    assert "locked everywhere after 8 consecutive failures" in explain(dsn, EMAIL).stdout


@throttled
@pytest.mark.gen_test
async def test_a_throttled_office_is_named_for_each_of_its_users(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    for number in range(4):
        await log_in(api, email=f"colleague-{number}@example.com")
    assert (await log_in(api, PASSWORD)).status == 429
    assert codes(dsn, EMAIL) == codes(dsn, EMAIL, "--address", HOME) == ["throttled-address"]
    assert (
        f"to end it: userauth-manage throttle clear {HOME}"
        in explain(dsn, EMAIL, "--address", HOME).stdout
    )
    assert manage("throttle", "clear", HOME, DATABASE_URL=dsn).returncode == 0
    assert codes(dsn, EMAIL, "--address", HOME) == []
    assert (await log_in(api, PASSWORD)).status == 200


async def reject_after_a_colleague(api: Api) -> None:
    """Throttle the network, and have a colleague be the first who is rejected there."""
    await api.register(EMAIL)
    for number in range(4):
        await log_in(api, email=f"colleague-{number}@example.com")
    for email in ("colleague-4@example.com", EMAIL):
        assert (await log_in(api, PASSWORD, email=email)).status == 429


@throttled
@pytest.mark.gen_test
async def test_waits_that_may_apply_to_a_user_are_shown_until_the_address_is_known(
    api: Api, dsn: str
) -> None:
    await reject_after_a_colleague(api)
    assert codes(dsn, EMAIL) == []
    shown = explain(dsn, EMAIL).stdout
    assert "Nothing prevents" not in shown
    assert f"may apply to this user: IP address {HOME} throttled until 20" in shown
    assert f"of all accounts there; to end it: userauth-manage throttle clear {HOME}" in shown
    assert event_kinds_in_order(dsn)[-2:] == ["user-read", "throttle-read"]
    assert codes(dsn, EMAIL, "--address", HOME) == ["throttled-address"]
    assert "may apply" not in explain(dsn, EMAIL, "--address", HOME).stdout
    assert "Nothing prevents" in explain(dsn, EMAIL, "--address", ELSEWHERE).stdout
    run_sql(dsn, "DELETE FROM events")
    shown = explain(dsn, EMAIL).stdout
    assert "may apply to this user: IP address unknown throttled until 20" in shown
    assert manage(*commands_in(shown)[0], DATABASE_URL=dsn).returncode == 0
    assert "Nothing prevents" in explain(dsn, EMAIL).stdout
    assert (await log_in(api, PASSWORD)).status == 200


@throttled
@pytest.mark.gen_test
async def test_of_many_waits_that_may_apply_some_are_shown_and_all_are_counted(
    api: Api, dsn: str
) -> None:
    await reject_after_a_colleague(api)
    run_sql(
        dsn,
        "INSERT INTO throttle (subject, failures, last_at, next_at) SELECT 'pair:' ||"
        " lpad(n::text, 24, '0'), 10, now(), now() + interval '1 min' FROM generate_series(1, 9) n",
    )
    document = json.loads(explain(dsn, EMAIL, "--json").stdout)
    assert document["possible_waits_count"] == 10
    shown = [each["code"] for each in document["possible_waits"]]
    assert shown == ["throttled-address", *["throttled-pair"] * 4]
    assert "5 further waits; see userauth-manage throttle list" in explain(dsn, EMAIL).stdout


@throttled
@pytest.mark.gen_test
async def test_waits_of_other_users_do_not_apply(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    await api.register("kim@example.com")
    for _ in range(2):
        await log_in(api, email="kim@example.com")
    assert codes(dsn, "kim@example.com") == ["throttled-pair"]
    assert "Nothing prevents" in explain(dsn, EMAIL).stdout


@throttled
@pytest.mark.gen_test
async def test_if_more_wait_than_are_read_no_wait_is_ruled_out(
    api: Api, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.waits.MAX_POSSIBLE", 1)
    await api.register(EMAIL)
    await api.register("kim@example.com")
    for _ in range(2):
        await log_in(api, email="kim@example.com")
    assert "No reason was found, but other waits may apply" in explain(dsn, EMAIL).stdout


@override_settings(REGISTRATION__QUARANTINE_DAYS=30)
@pytest.mark.gen_test
async def test_explaining_the_address_of_a_deleted_user_is_an_event(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    deleted = await api.request("DELETE", "/api/user", authorization=basic(EMAIL, PASSWORD))
    assert deleted.status == 200
    assert "A deleted user had it" in explain(dsn, EMAIL).stderr
    assert event_kinds_in_order(dsn)[-1] == "audit-read"


@pytest.mark.gen_test
async def test_failures_with_an_address_that_no_user_has_are_an_event_and_shown(
    api: Api, dsn: str
) -> None:
    assert explain(dsn, EMAIL).stdout == ""
    assert event_kinds_in_order(dsn) == []
    await api.log_in(EMAIL)
    shown = explain(dsn, EMAIL)
    assert (shown.returncode, shown.stdout.count("\n")) == (3, 1)
    assert shown.stdout.endswith("from 127.0.0.1: password-failed\n")
    assert f"No user has the email address {EMAIL}" in shown.stderr
    document = json.loads(explain(dsn, EMAIL, "--json").stdout)
    assert [each["kind"] for each in document["failures"]] == ["password-failed"]
    assert event_kinds_in_order(dsn) == ["password-failed", "audit-read", "audit-read"]


@throttled
@pytest.mark.gen_test
async def test_each_command_to_paste_is_safe_and_ends_the_wait(api: Api, dsn: str) -> None:
    hostile = {"x|`id`|$home@example.com": HOME, "-x@example.com": ELSEWHERE}
    for email, ip in hostile.items():
        user_id = (await api.register(email)).json["id"]
        for each in (ip, ip, "192.0.2.1"):
            assert (await log_in(api, email=email, ip=each)).status == 401
        # Without events, users enable does not find the network.
        run_sql(dsn, "DELETE FROM events")
        manage("users", "disable", user_id, DATABASE_URL=dsn)
        shown = explain(dsn, user_id, "--address", ip).stdout
        commands = commands_in(shown)
        assert [command[:2] for command in commands] == [
            ["users", "enable"],
            ["users", "enable"],
            ["throttle", "clear"],
        ]
        for command in commands:
            assert re.fullmatch(r"[a-z0-9.: -]+", " ".join(command)), command
            manage(*command, DATABASE_URL=dsn)
        assert codes(dsn, user_id, "--address", ip) == []
        assert (await log_in(api, PASSWORD, email=email, ip=ip)).status == 200
    ended = manage("users", "list", "--limit", "1", DATABASE_URL=dsn)
    [after] = re.findall(r"pass (--after \S+)$", ended.stderr.strip())
    assert manage("users", "list", *after.split(), DATABASE_URL=dsn).stdout.count("@") == 1


def commands_in(text: str) -> list[list[str]]:
    """Return the commands that a text shows for what ends a wait, without the program."""
    commands = re.findall(r"to end it: userauth-manage (.*)$", text, re.MULTILINE)
    return [command.split() for command in commands]


@throttled
@pytest.mark.gen_test
async def test_without_a_usual_network_a_wait_applies_everywhere(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    for number in range(3):
        await log_in(api, ip=f"192.0.2.{number}")
    run_sql(dsn, "UPDATE throttle SET place = NULL")
    assert codes(dsn, EMAIL) == ["throttled"]
    assert "except" not in explain(dsn, EMAIL).stdout
    assert "network of the last login" not in explain(dsn, EMAIL, "--address", HOME).stdout
    run_sql(dsn, "UPDATE throttle SET next_at = 'infinity' WHERE subject LIKE 'account:%'")
    assert codes(dsn, EMAIL) == codes(dsn, EMAIL, "--address", HOME) == ["locked"]


@throttled
@pytest.mark.gen_test
async def test_what_is_shown_about_an_unknown_address_is_an_event(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    await log_in(api, email="susn@example.com")
    await log_in(api, email="other@example.com", ip=ELSEWHERE)
    # Too long for an address: the failures of all such texts have one digest.
    await log_in(api, email="x" * 2000, ip="192.0.2.1")
    for text, expected in (
        ("susn@example.com", ["users-listed", "audit-read"]),
        ("susam@example.com", ["users-listed"]),
        ("other@example.com", ["audit-read"]),
        ("nothing@example.com", []),
        ("x" * 3000, []),
        ("0" * 32, []),
    ):
        run_sql(dsn, "DELETE FROM events WHERE actor IS NOT NULL")
        document = json.loads(explain(dsn, text, "--json").stdout)
        shown = [bool(document["similar"]), bool(document["failures"])]
        assert shown == ["users-listed" in expected, "audit-read" in expected], text
        read = run_sql(dsn, "SELECT kind FROM events WHERE actor IS NOT NULL ORDER BY id")
        assert [kind for (kind,) in read] == expected, text


@throttled
@pytest.mark.gen_test
async def test_a_wait_is_found_although_the_events_are_those_of_a_colleague(
    api: Api, dsn: str
) -> None:
    await api.register(EMAIL)
    for email in ("colleague@example.com", EMAIL):
        for _ in range(2):
            assert (await log_in(api, email=email)).status == 401
    assert run_sql(dsn, "SELECT count(*) FROM events WHERE kind LIKE '%%failed'") == [(1,)]
    assert sorted(codes(dsn, EMAIL)) == ["throttled-address", "throttled-pair"]


@throttled
@pytest.mark.gen_test
async def test_an_ipv4_address_may_be_written_as_an_ipv6_one(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    for _ in range(2):
        await log_in(api)
    mapped = f"::ffff:{HOME}"
    assert codes(dsn, EMAIL, "--address", mapped) == ["throttled-pair"]
    for network in (mapped, "::ffff:198.51.100.0/120"):
        command = ("audit", "list", "--address", network, "--json")
        assert json.loads(manage(*command, DATABASE_URL=dsn).stdout)[0]["ip"] == HOME


@throttled
@pytest.mark.parametrize(
    ("ip", "written"),
    [(HOME, f"{HOME}/32"), ("2001:db8::7", "2001:db8::/64"), ("2001:db8::7", "2001:db8::9/128")],
)
@pytest.mark.gen_test
async def test_an_address_may_be_written_as_the_network_of_its_count(
    api: Api, dsn: str, ip: str, written: str
) -> None:
    await api.register(EMAIL)
    for _ in range(2):
        await log_in(api, ip=ip)
    assert codes(dsn, EMAIL, "--address", written) == ["throttled-pair"]


def test_text_that_is_not_an_ip_address_is_wrong_usage(dsn: str) -> None:
    for address in ("office", "1.2.3", "fe80::1%eth0", "192.0.2.0/24"):
        ended = explain(dsn, EMAIL, "--address", address)
        assert (ended.returncode, ended.stdout) == (2, ""), ended

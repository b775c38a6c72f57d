"""``throttle list`` and ``throttle clear``, and what else ends the waits of an account."""

import json
from typing import Any

import pytest

from handlers.application import Application
from tests.harness.accounts import event_kinds_in_order
from tests.harness.api import PASSWORD, Answer, Api
from tests.harness.clock import Clock
from tests.harness.command_line import manage
from tests.harness.configuration import override_settings
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
WRONG = "wrong password"
OFFICE, V6 = "198.51.100.7", "2001:db8::7"
throttled = override_settings(
    SERVER__TRUSTED_PROXIES="127.0.0.0/8",
    THROTTLE__FIRST_DELAY_SECONDS=100,
    THROTTLE__PAIR_FAILURES=2,
    THROTTLE__ACCOUNT_FAILURES=3,
    THROTTLE__ADDRESS_FAILURES=4,
)


async def log_in(
    api: Api, password: str = WRONG, *, ip: str = OFFICE, email: str = EMAIL
) -> Answer:
    return await api.log_in(email, password, ip=ip)


def listed(dsn: str, *arguments: str) -> list[dict[str, Any]]:
    ended = manage("throttle", "list", *arguments, "--json", DATABASE_URL=dsn)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return list(json.loads(ended.stdout))


@throttled
@pytest.mark.gen_test
async def test_waits_are_listed_with_the_users_and_networks_of_recent_failures(
    api: Api, dsn: str
) -> None:
    user_id = (await api.register(EMAIL)).json["id"]
    for ip in (OFFICE, OFFICE, "192.0.2.1"):
        await log_in(api, ip=ip)
    for number in range(4):
        await log_in(api, ip=V6, email=f"unknown-{number}@example.com")
    found = listed(dsn)
    assert [
        (each["kind"], each["failures"], each["email"], each["user_id"], each["network"])
        for each in found
    ] == [
        ("address", 4, None, None, "2001:db8::/64"),
        ("account", 3, EMAIL, user_id, None),
        ("account-and-address", 2, EMAIL, user_id, OFFICE),
    ]
    assert {(each["until"][:2], each["locked"]) for each in found} == {("20", False)}
    run_sql(dsn, "DELETE FROM events")
    assert [each["network"] for each in listed(dsn)] == [None] * 3
    assert [each["network"] for each in listed(dsn, "--address", V6)] == [
        "2001:db8::/64",
        None,
        None,
    ]
    shown = manage("throttle", "list", DATABASE_URL=dsn).stdout.splitlines()
    assert shown[0].split()[:3] == ["KIND", "FAILURES", "UNTIL"]
    for limit, more in ((1, "There may be more; specify a higher --limit.\n"), (4, "")):
        limited = manage("throttle", "list", "--limit", str(limit), DATABASE_URL=dsn)
        assert (len(limited.stdout.splitlines()), limited.stderr) == (1 + min(limit, 3), more)
    assert event_kinds_in_order(dsn) == ["throttle-read"] * 5
    assert run_sql(dsn, "SELECT count(*) FROM throttle WHERE subject LIKE '%susan%'") == [(0,)]


@throttled
@pytest.mark.parametrize("by", ["enable", "set-password", "clear", "clear-id"])
@pytest.mark.gen_test
async def test_an_administrator_ends_all_waits_of_an_account(api: Api, dsn: str, by: str) -> None:
    user_id = (await api.register(EMAIL)).json["id"]
    await log_in(api, PASSWORD, ip="192.0.2.1")
    # The first failure of the minute, which is the event, is that of a colleague.
    await log_in(api, email="colleague@example.com")
    for _ in range(2):
        await log_in(api)
    assert (await log_in(api, PASSWORD)).status == 429
    command = {
        "enable": ("users", "enable", EMAIL),
        "set-password": ("users", "set-password", EMAIL),
        "clear": ("throttle", "clear", EMAIL.upper()),
        "clear-id": ("throttle", "clear", user_id),
    }[by]
    ended = manage(*command, stdin=f"{PASSWORD}\n", DATABASE_URL=dsn)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert "failed attempts" in ended.stdout
    assert (await log_in(api, PASSWORD)).status == 200
    written = {"enable": "enabled", "set-password": "password-changed"}
    assert event_kinds_in_order(dsn)[-2:] == [written.get(by, "throttle-cleared"), "logged-in"]


@throttled
@pytest.mark.gen_test
async def test_a_wait_without_an_event_is_ended_by_its_address_or_its_key(
    api: Api, dsn: str
) -> None:
    email = "unknown@example.com"
    for name in (email, "other@example.com"):
        for _ in range(2):
            await log_in(api, email=name)
    run_sql(dsn, "DELETE FROM events")
    pairs = [each["key"] for each in listed(dsn) if each["kind"] == "account-and-address"]
    assert len(pairs) == 2
    by_address = manage("throttle", "clear", email, "--address", OFFICE, DATABASE_URL=dsn)
    assert by_address.stdout == "Cleared 2 counts of failed attempts.\n"
    [left] = [each["key"] for each in listed(dsn) if each["kind"] == "account-and-address"]
    by_key = manage("throttle", "clear", left, "--json", DATABASE_URL=dsn)
    assert json.loads(by_key.stdout) == {"cleared": 1}
    again = manage("throttle", "clear", left, DATABASE_URL=dsn)
    assert (again.returncode, again.stdout) == (3, "")
    assert "No failed attempts are counted" in again.stderr
    assert event_kinds_in_order(dsn).count("throttle-cleared") == 2
    events = json.loads(manage("audit", "list", "--json", DATABASE_URL=dsn).stdout)
    cleared = [each["key_id"] for each in events if each["kind"] == "throttle-cleared"]
    assert cleared == [left, None]
    unknown = manage("throttle", "clear", "0" * 8 + "-0000" * 3 + "-" + "0" * 12, DATABASE_URL=dsn)
    assert (unknown.returncode, "No user has the ID" in unknown.stderr) == (3, True)


@throttled
@pytest.mark.gen_test
async def test_a_locked_account_has_no_time_in_json(api: Api, dsn: str) -> None:
    for number in range(3):
        await log_in(api, ip=f"192.0.2.{number}")
    run_sql(dsn, "UPDATE throttle SET next_at = 'infinity' WHERE subject LIKE 'account:%'")
    assert [(each["until"], each["locked"]) for each in listed(dsn)] == [(None, True)]
    shown = manage("throttle", "list", DATABASE_URL=dsn).stdout.splitlines()
    assert shown[0].split()[2:4] == ["UNTIL", "LOCKED"]
    assert shown[1].split()[2:4] == ["-", "yes"]


@throttled
@pytest.mark.parametrize(
    "written",
    [
        f"::ffff:{OFFICE}",
        f"{OFFICE}/32",
        f"::ffff:{OFFICE}/128",
        V6,
        "2001:DB8::9",
        "2001:db8::/64",
        f"{V6}/128",
    ],
)
@pytest.mark.gen_test
async def test_an_address_is_cleared_in_each_form(api: Api, dsn: str, written: str) -> None:
    ip = OFFICE if OFFICE in written else V6
    for number in range(4):
        await log_in(api, ip=ip, email=f"unknown-{number}@example.com")
    assert (await log_in(api, ip=ip)).status == 429
    ended = manage("throttle", "clear", written, DATABASE_URL=dsn)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    assert (await log_in(api, ip=ip)).status == 401


@pytest.mark.parametrize(
    "target", [OFFICE, f"::ffff:{OFFICE}", "2001:db8::/64", "pair:" + "a" * 24]
)
def test_an_address_is_an_option_for_accounts_only(dsn: str, target: str) -> None:
    ended = manage("throttle", "clear", target, "--address", OFFICE, DATABASE_URL=dsn)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--address is for an account" in ended.stderr


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("203.0.113.0/24", "is a network: specify an IP address"),
        ("2001:db8::/48", "is a network: specify an IP address"),
        ("fe80::1%eth0", "has a zone"),
        ("fe80::1%eth0/128", "has a zone"),
        ("nonsense", "is not an email address, ID, IP address or KEY"),
        ("203.0.113", "is not an email address, ID, IP address or KEY"),
        ("pair:abc", "is not an email address, ID, IP address or KEY"),
    ],
)
def test_a_target_without_a_count_is_wrong_usage_with_the_reason(target: str, reason: str) -> None:
    ended = manage("throttle", "clear", target)
    assert (ended.returncode, ended.stdout) == (2, ""), ended
    assert f"{target} {reason}" in ended.stderr


@throttled
@pytest.mark.gen_test
async def test_rejected_logins_of_a_minute_are_two_events(
    api: Api, app: Application, clock: Clock, dsn: str
) -> None:
    await api.register(EMAIL)
    for _ in range(30):
        await log_in(api)
    clock.advance(60)
    await app.services.audit.write_counted()
    rejected = "SELECT times, host(ip) FROM events WHERE kind = 'login-rejected' ORDER BY id"
    assert run_sql(dsn, rejected) == [(1, OFFICE), (27, OFFICE)]
    [first, second] = json.loads(
        manage(
            *("audit", "list", "--kind", "login-rejected", "--user", EMAIL, "--json"),
            DATABASE_URL=dsn,
        ).stdout
    )
    assert (first["outcome"], second["ip"]) == ("failure", OFFICE)

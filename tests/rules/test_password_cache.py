"""Passwords that were right a moment ago."""

import unicodedata

import pytest

from rules import password_cache
from rules.password_cache import PasswordCache
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import laid_over
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
NEW_PASSWORD = "another horse battery"
HOME = "home"
STORED = "$userauth-bcrypt-sha384$2b$04$stored"


def test_a_password_is_remembered_for_its_seconds(clock: Clock) -> None:
    passwords = PasswordCache(60, clock)
    assert not passwords.holds(PASSWORD, STORED, HOME)
    passwords.add(PASSWORD, STORED, HOME)
    clock.advance(59.5)
    assert passwords.holds(PASSWORD, STORED, HOME)
    clock.advance(60)
    assert not passwords.holds(PASSWORD, STORED, HOME)
    clock.now -= 1
    assert not passwords.holds(PASSWORD, STORED, HOME)


def test_what_was_remembered_long_enough_is_not_kept(clock: Clock) -> None:
    passwords = PasswordCache(60, clock)
    for number in range(3):
        passwords.add(PASSWORD, f"{STORED}{number}", HOME)
        clock.advance(20)
    passwords.forget_expired()
    assert len(passwords) == 2
    clock.advance(40)
    passwords.forget_expired()
    assert len(passwords) == 0


def test_who_comes_again_in_time_is_remembered_anew(clock: Clock) -> None:
    passwords = PasswordCache(60, clock)
    passwords.add(PASSWORD, STORED, HOME)
    passwords.add("another password", STORED, "elsewhere")
    for _ in range(5):
        clock.advance(40)
        assert passwords.holds(PASSWORD, STORED, HOME)
    assert not passwords.holds("another password", STORED, "elsewhere")
    clock.advance(60)
    assert not passwords.holds(PASSWORD, STORED, HOME)


@pytest.mark.parametrize(
    ("password", "stored"),
    [
        (PASSWORD, STORED + "x"),
        (PASSWORD + "x", STORED),
        ("", STORED),
        (PASSWORD, ""),
        (STORED, PASSWORD),
        ("t\0" + PASSWORD, STORED[:-1]),
        (PASSWORD.upper(), STORED),
    ],
)
def test_it_is_that_password_against_that_hash_and_no_other(
    clock: Clock, password: str, stored: str
) -> None:
    passwords = PasswordCache(60, clock)
    passwords.add(PASSWORD, STORED, HOME)
    assert not passwords.holds(password, stored, HOME)


def test_the_forms_of_unicode_are_the_same_password(clock: Clock) -> None:
    passwords = PasswordCache(60, clock)
    passwords.add(unicodedata.normalize("NFD", "pässwörd"), STORED, HOME)
    assert passwords.holds(unicodedata.normalize("NFC", "pässwörd"), STORED, HOME)


def test_zero_seconds_remember_nothing(clock: Clock) -> None:
    passwords = PasswordCache(0, clock)
    passwords.add(PASSWORD, STORED, HOME)
    clock.now -= 1
    assert not passwords.holds(PASSWORD, STORED, HOME)


def test_the_one_that_was_proved_longest_ago_makes_room(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(password_cache, "MOST", 3)
    passwords = PasswordCache(60, clock)
    for number in (1, 2, 3, 1, 4):
        passwords.add(PASSWORD, f"{STORED}{number}", HOME)
        clock.advance(1)
    kept = [
        number for number in range(1, 5) if passwords.holds(PASSWORD, f"{STORED}{number}", HOME)
    ]
    assert kept == [1, 3, 4]


def test_no_two_processes_keep_the_same_thing(clock: Clock) -> None:
    kept = []
    for _ in range(2):
        passwords = PasswordCache(60, clock)
        passwords.add(PASSWORD, STORED, HOME)
        kept.append(list(vars(passwords)["_entries"]))
        assert PASSWORD not in repr(vars(passwords))
        assert STORED not in repr(vars(passwords))
    assert kept[0] != kept[1]


async def ask(api: Api, password: str = PASSWORD, email: str = EMAIL) -> int:
    answer = await api.request("GET", "/api/user", authorization=basic(email, password))
    return answer.status


@pytest.mark.gen_test
async def test_the_second_request_by_password_takes_no_hash(api: Api, checks: list[bytes]) -> None:
    await api.register(EMAIL)
    assert await ask(api) == 200
    assert len(checks) == 1
    for email in (EMAIL, EMAIL.upper()):
        assert await ask(api, email=email) == 200
    change = await api.request(
        "PATCH", "/api/user", authorization=basic(EMAIL, PASSWORD), json_body={"name": "Susan"}
    )
    assert change.status == 200
    assert len(checks) == 1


@pytest.mark.gen_test
async def test_a_log_in_is_remembered_but_takes_a_hash_each_time(
    api: Api, checks: list[bytes]
) -> None:
    await api.register(EMAIL)
    for number in (1, 2, 3):
        assert (await api.log_in(EMAIL)).status == 200
        assert len(checks) == number
        assert await ask(api) == 200
        assert len(checks) == number


@pytest.mark.gen_test
async def test_a_wrong_password_is_never_remembered(api: Api, checks: list[bytes]) -> None:
    await api.register(EMAIL)
    assert await ask(api) == 200
    for number in (2, 3, 4):
        assert await ask(api, "a wrong password") == 401
        assert len(checks) == number
    for number in (5, 6):
        assert await ask(api, email="nobody@example.com") == 401
        assert len(checks) == number


@pytest.mark.gen_test
async def test_another_user_with_the_same_password_is_not_remembered(
    api: Api, checks: list[bytes]
) -> None:
    await api.register(EMAIL)
    await api.register("peter@example.com")
    assert await ask(api) == 200
    assert await ask(api, email="peter@example.com") == 200
    assert len(checks) == 2


@pytest.mark.gen_test
async def test_a_changed_password_is_out_at_once_although_it_is_remembered(
    api: Api, checks: list[bytes]
) -> None:
    token = await api.registered_token(EMAIL)
    assert await ask(api) == 200
    change = await api.request(
        "PATCH", "/api/user", authorization=bearer(token), json_body={"password": NEW_PASSWORD}
    )
    assert change.status == 200
    assert await ask(api) == 401
    assert await ask(api, NEW_PASSWORD) == 200
    assert await ask(api) == 401
    assert len(checks) == 4


@pytest.mark.gen_test
async def test_the_same_password_stored_anew_is_hashed_anew(api: Api, checks: list[bytes]) -> None:
    token = await api.registered_token(EMAIL)
    await api.request(
        "PATCH", "/api/user", authorization=bearer(token), json_body={"password": PASSWORD}
    )
    assert await ask(api) == 200
    assert len(checks) == 2


@pytest.mark.gen_test
@pytest.mark.parametrize("by_api", [True, False])
async def test_a_deleted_user_is_out_at_once_although_remembered(
    api: Api,
    dsn: str,
    by_api: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await api.register(EMAIL)
    assert await ask(api) == 200
    if by_api:
        deletion = await api.request("DELETE", "/api/user", authorization=basic(EMAIL, PASSWORD))
        assert deletion.status == 200
    else:
        run_sql(dsn, "DELETE FROM users")
    assert await ask(api) == 401
    assert (await api.register(EMAIL, NEW_PASSWORD)).status == 201
    assert await ask(api) == 401


@pytest.mark.gen_test
@laid_over(PASSWORDS__REMEMBER_SECONDS=0)
async def test_without_memory_every_request_by_password_takes_a_hash(
    api: Api, checks: list[bytes]
) -> None:
    await api.register(EMAIL)
    for number in (1, 2, 3):
        assert await ask(api) == 200
        assert len(checks) == number


def test_a_password_is_known_again_only_at_the_place_where_it_was_right(clock: Clock) -> None:
    passwords = PasswordCache(60, clock)
    passwords.add(PASSWORD, STORED, HOME)
    assert not passwords.holds(PASSWORD, STORED, "elsewhere")
    assert passwords.holds(PASSWORD, STORED, HOME)


def test_after_a_few_others_it_is_forgotten(clock: Clock) -> None:
    passwords = PasswordCache(60, clock)
    passwords.add(PASSWORD, STORED, HOME)
    for _ in range(password_cache.MISSES):
        assert not passwords.holds(NEW_PASSWORD, STORED, HOME)
    assert not passwords.holds(PASSWORD, STORED, HOME)

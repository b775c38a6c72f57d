"""The cache of recently verified passwords."""

import unicodedata

import pytest

from rules import password_cache
from rules.password_cache import PasswordCache
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
NEW_PASSWORD = "another horse battery"
HOME = "home"
STORED = "$userauth-bcrypt-sha384$2b$04$stored"


def test_a_password_is_cached_for_its_seconds(clock: Clock) -> None:
    cache = PasswordCache(60, clock)
    assert not cache.matches(PASSWORD, STORED, HOME)
    cache.add(PASSWORD, STORED, HOME)
    clock.advance(59.5)
    assert cache.matches(PASSWORD, STORED, HOME)
    clock.advance(60)
    assert not cache.matches(PASSWORD, STORED, HOME)
    clock.now -= 1
    assert not cache.matches(PASSWORD, STORED, HOME)


def test_expired_entries_are_removed(clock: Clock) -> None:
    cache = PasswordCache(60, clock)
    for number in range(3):
        cache.add(PASSWORD, f"{STORED}{number}", HOME)
        clock.advance(20)
    cache.remove_expired()
    assert len(cache) == 2
    clock.advance(40)
    cache.remove_expired()
    assert len(cache) == 0


def test_a_match_renews_an_entry(clock: Clock) -> None:
    cache = PasswordCache(60, clock)
    cache.add(PASSWORD, STORED, HOME)
    cache.add("another password", STORED, "elsewhere")
    for _ in range(5):
        clock.advance(40)
        assert cache.matches(PASSWORD, STORED, HOME)
    assert not cache.matches("another password", STORED, "elsewhere")
    clock.advance(60)
    assert not cache.matches(PASSWORD, STORED, HOME)


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
def test_an_entry_matches_only_its_own_password_and_hash(
    clock: Clock, password: str, stored: str
) -> None:
    cache = PasswordCache(60, clock)
    cache.add(PASSWORD, STORED, HOME)
    assert not cache.matches(password, stored, HOME)


def test_the_forms_of_unicode_are_the_same_password(clock: Clock) -> None:
    cache = PasswordCache(60, clock)
    cache.add(unicodedata.normalize("NFD", "pässwörd"), STORED, HOME)
    assert cache.matches(unicodedata.normalize("NFC", "pässwörd"), STORED, HOME)


def test_zero_seconds_disable_the_cache(clock: Clock) -> None:
    cache = PasswordCache(0, clock)
    cache.add(PASSWORD, STORED, HOME)
    clock.now -= 1
    assert not cache.matches(PASSWORD, STORED, HOME)


def test_a_full_cache_drops_the_entry_that_was_verified_longest_ago(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(password_cache, "MAX_ENTRIES", 3)
    cache = PasswordCache(60, clock)
    for number in (1, 2, 3, 1, 4):
        cache.add(PASSWORD, f"{STORED}{number}", HOME)
        clock.advance(1)
    cached = [
        number for number in range(1, 5) if cache.matches(PASSWORD, f"{STORED}{number}", HOME)
    ]
    assert cached == [1, 3, 4]


def test_no_two_processes_store_the_same_digest(clock: Clock) -> None:
    cached = []
    for _ in range(2):
        cache = PasswordCache(60, clock)
        cache.add(PASSWORD, STORED, HOME)
        cached.append(list(vars(cache)["_entries"]))
        assert PASSWORD not in repr(vars(cache))
        assert STORED not in repr(vars(cache))
    assert cached[0] != cached[1]


async def request(api: Api, password: str = PASSWORD, email: str = EMAIL) -> int:
    answer = await api.request("GET", "/api/user", authorization=basic(email, password))
    return answer.status


@pytest.mark.gen_test
async def test_the_second_request_by_password_takes_no_hash(api: Api, checks: list[bytes]) -> None:
    await api.register(EMAIL)
    assert await request(api) == 200
    assert len(checks) == 1
    for email in (EMAIL, EMAIL.upper()):
        assert await request(api, email=email) == 200
    change = await api.request(
        "PATCH", "/api/user", authorization=basic(EMAIL, PASSWORD), json_body={"name": "Susan"}
    )
    assert change.status == 200
    assert len(checks) == 1


@pytest.mark.gen_test
async def test_a_login_is_cached_but_takes_a_hash_each_time(api: Api, checks: list[bytes]) -> None:
    await api.register(EMAIL)
    for number in (1, 2, 3):
        assert (await api.log_in(EMAIL)).status == 200
        assert len(checks) == number
        assert await request(api) == 200
        assert len(checks) == number


@pytest.mark.gen_test
async def test_the_current_password_takes_a_hash_although_it_is_cached(
    api: Api, checks: list[bytes]
) -> None:
    token = await api.registered_token(EMAIL)
    checks.clear()
    body = {"current_password": PASSWORD}
    answer = await api.request(
        "DELETE", "/api/user/tokens", authorization=bearer(token), json_body=body
    )
    assert answer.status == 200
    assert len(checks) == 1


@pytest.mark.gen_test
async def test_a_wrong_password_is_never_cached(api: Api, checks: list[bytes]) -> None:
    await api.register(EMAIL)
    assert await request(api) == 200
    for number in (2, 3, 4):
        assert await request(api, "a wrong password") == 401
        assert len(checks) == number
    for number in (5, 6):
        assert await request(api, email="unknown@example.com") == 401
        assert len(checks) == number


@pytest.mark.gen_test
async def test_another_user_with_the_same_password_does_not_match(
    api: Api, checks: list[bytes]
) -> None:
    await api.register(EMAIL)
    await api.register("peter@example.com")
    assert await request(api) == 200
    assert await request(api, email="peter@example.com") == 200
    assert len(checks) == 2


@pytest.mark.gen_test
async def test_a_changed_password_is_rejected_at_once_although_it_is_cached(
    api: Api, checks: list[bytes]
) -> None:
    token = await api.registered_token(EMAIL)
    assert await request(api) == 200
    change = await api.request(
        "PATCH", "/api/user", authorization=bearer(token), json_body={"password": NEW_PASSWORD}
    )
    assert change.status == 200
    assert await request(api) == 401
    assert await request(api, NEW_PASSWORD) == 200
    assert await request(api) == 401
    assert len(checks) == 4


@pytest.mark.gen_test
async def test_the_same_password_with_a_new_hash_takes_a_hash_again(
    api: Api, checks: list[bytes]
) -> None:
    token = await api.registered_token(EMAIL)
    await api.request(
        "PATCH", "/api/user", authorization=bearer(token), json_body={"password": PASSWORD}
    )
    assert await request(api) == 200
    assert len(checks) == 2


@pytest.mark.gen_test
@pytest.mark.parametrize("by_api", [True, False])
async def test_a_deleted_user_is_rejected_at_once_although_cached(
    api: Api,
    dsn: str,
    by_api: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await api.register(EMAIL)
    assert await request(api) == 200
    if by_api:
        deletion = await api.request("DELETE", "/api/user", authorization=basic(EMAIL, PASSWORD))
        assert deletion.status == 200
    else:
        run_sql(dsn, "DELETE FROM users")
    assert await request(api) == 401
    assert (await api.register(EMAIL, NEW_PASSWORD)).status == 201
    assert await request(api) == 401


@pytest.mark.gen_test
@override_settings(PASSWORDS__REMEMBER_SECONDS=0)
async def test_without_the_cache_every_request_by_password_takes_a_hash(
    api: Api, checks: list[bytes]
) -> None:
    await api.register(EMAIL)
    for number in (1, 2, 3):
        assert await request(api) == 200
        assert len(checks) == number


def test_an_entry_matches_only_in_the_network_where_it_was_verified(clock: Clock) -> None:
    cache = PasswordCache(60, clock)
    cache.add(PASSWORD, STORED, HOME)
    assert not cache.matches(PASSWORD, STORED, "elsewhere")
    assert cache.matches(PASSWORD, STORED, HOME)


def test_an_entry_is_removed_after_a_few_wrong_passwords(clock: Clock) -> None:
    cache = PasswordCache(60, clock)
    cache.add(PASSWORD, STORED, HOME)
    for _ in range(password_cache.MAX_MISSES):
        assert not cache.matches(NEW_PASSWORD, STORED, HOME)
    assert not cache.matches(PASSWORD, STORED, HOME)

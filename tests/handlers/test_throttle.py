"""Guessing passwords: how many attempts are allowed, from where, and who is locked out."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing

import bcrypt
import psycopg2
import pytest

from handlers.application import Application
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.sql import moving_counts_back, run_sql

EMAIL = "susan@example.com"
WRONG = "wrong password"
HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"
FIRST_DELAY = 100
# Longer than any test: a slow machine must not allow another attempt.
waiting_long = override_settings(THROTTLE__FIRST_DELAY_SECONDS=FIRST_DELAY)
# Lets tests send from any address.
from_anywhere = override_settings(
    SERVER__TRUSTED_PROXIES="127.0.0.0/8", THROTTLE__FIRST_DELAY_SECONDS=FIRST_DELAY
)
up_to_a_thousand = pytest.mark.parametrize(
    "number", [110, pytest.param(1000, marks=pytest.mark.long)]
)
# How long after the start of a wait its response may arrive.
SLOWEST_SECONDS = 30
LetPass = Callable[[float], None]


@pytest.fixture
def let_pass(dsn: str) -> Iterator[LetPass]:
    with moving_counts_back(dsn) as let_pass:
        yield let_pass


def has_to_wait(answer: Answer, seconds: float) -> bool:
    """Return whether a response is 429 with such a wait."""
    assert (answer.status, answer.problem) == (429, "too-many-tries")
    return seconds - SLOWEST_SECONDS <= int(answer.headers["Retry-After"]) <= seconds


async def log_in(
    api: Api, password: str = PASSWORD, *, ip: str = HOME, email: str = EMAIL, path: str = "/login"
) -> Answer:
    return await api.request(
        "GET",
        f"/api/user{path}",
        authorization=basic(email, password),
        headers={"X-Forwarded-For": ip},
    )


async def fail(api: Api, times: int, *, ip: str = HOME, email: str = EMAIL) -> list[int]:
    return [(await log_in(api, WRONG, ip=ip, email=email)).status for _ in range(times)]


async def fail_from_many(api: Api, times: int, let_pass: LetPass) -> int:
    """Fail from one IP address after another, with the required waits; return how often."""
    failed = 0
    for number in range(times):
        answer = await log_in(api, WRONG, ip=f"192.0.2.{number % 250}")
        if answer.status == 429:
            let_pass(int(answer.headers["Retry-After"]))
            answer = await log_in(api, WRONG, ip=f"192.0.2.{number % 250}")
        failed += answer.status == 401
    return failed


@from_anywhere
@pytest.mark.parametrize("email", [EMAIL, "unknown@example.com", "no address"])
@pytest.mark.gen_test
async def test_after_ten_failures_of_a_pair_each_further_one_waits_twice_as_long(
    api: Api, let_pass: LetPass, email: str
) -> None:
    await api.register(EMAIL)
    assert await fail(api, 10, email=email) == [401] * 10
    for seconds in (100, 200, 400, 800, 900, 900):
        assert has_to_wait(await log_in(api, WRONG, email=email), seconds)
        let_pass(seconds)
        assert (await log_in(api, WRONG, email=email)).status == 401


@from_anywhere
@pytest.mark.gen_test
async def test_during_a_wait_a_correct_password_gets_the_response_of_a_wrong_one(
    api: Api, let_pass: LetPass
) -> None:
    token = await api.registered_token(EMAIL)
    # The same with a cached password.
    assert (await log_in(api, path="")).status == 200
    await fail(api, 10)
    for path in ("", "/login", "/tokens"):
        for password in (PASSWORD, WRONG):
            assert (await log_in(api, password, path=path)).status == 429
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200
    let_pass(FIRST_DELAY)
    assert (await log_in(api)).status == 200


@from_anywhere
@pytest.mark.gen_test
async def test_a_success_resets_the_count_of_the_pair(api: Api) -> None:
    await api.register(EMAIL)
    for _ in range(4):
        assert await fail(api, 9) == [401] * 9
        assert (await log_in(api)).status == 200


@from_anywhere
@pytest.mark.gen_test
async def test_failures_expire(api: Api, let_pass: LetPass) -> None:
    await api.register(EMAIL)
    await fail(api, 9)
    let_pass(3601)
    assert await fail(api, 10) == [401] * 10


@from_anywhere
@pytest.mark.gen_test
async def test_failures_from_other_networks_do_not_lock_the_owner_out_of_the_usual_one(
    api: Api, let_pass: LetPass
) -> None:
    await api.register(EMAIL)
    assert (await log_in(api, ip=HOME)).status == 200
    assert await fail_from_many(api, 60, let_pass) == 60
    assert (await log_in(api, ip=ELSEWHERE)).status == 429
    assert (await log_in(api, ip=HOME)).status == 200
    # A success in between resets the count.
    assert (await log_in(api, ip=ELSEWHERE)).status == 200


@from_anywhere
@pytest.mark.gen_test
async def test_at_most_a_hundred_consecutive_failures_are_allowed(
    api: Api, let_pass: LetPass
) -> None:
    await api.register(EMAIL)
    assert (await log_in(api, ip=HOME)).status == 200
    assert await fail_from_many(api, 130, let_pass) == 80
    failed = 0
    for _ in range(40):
        let_pass(100_000)
        assert (await log_in(api, PASSWORD, ip=ELSEWHERE)).status == 429
        failed += (await log_in(api, WRONG, ip=HOME)).status == 401
    assert failed == 20
    # There is no end, for which Retry-After is one day.
    assert (await log_in(api, ip=HOME)).headers["Retry-After"] == "86400"


@from_anywhere
@up_to_a_thousand
@pytest.mark.gen_test
async def test_one_address_over_many_accounts_is_stopped_and_others_are_not(
    api: Api, number: int
) -> None:
    await api.register(EMAIL)
    tried = [
        (await log_in(api, WRONG, ip=ELSEWHERE, email=f"user{each}@example.com")).status
        for each in range(number)
    ]
    assert tried == [401] * 100 + [429] * (number - 100)
    assert (await log_in(api, ip=HOME)).status == 200


@from_anywhere
@pytest.mark.gen_test
async def test_a_success_takes_back_only_its_own_attempt_at_an_address(api: Api) -> None:
    await api.register(EMAIL)
    for number in range(99):
        await log_in(api, WRONG, email=f"user{number}@example.com")
        if number % 10 == 0:
            assert (await log_in(api)).status == 200
    assert (await log_in(api, WRONG, email="last@example.com")).status == 401
    assert (await log_in(api, WRONG, email="late@example.com")).status == 429


@from_anywhere
@pytest.mark.gen_test
async def test_an_ipv6_64_counts_as_one_address(api: Api) -> None:
    await api.register(EMAIL)
    for number in range(10):
        assert (await log_in(api, WRONG, ip=f"2001:db8::{number}")).status == 401
    assert (await log_in(api, WRONG, ip="2001:db8::ffff")).status == 429
    assert (await log_in(api, ip="2001:db8:0:1::1")).status == 200


@from_anywhere
@up_to_a_thousand
@pytest.mark.gen_test
async def test_credential_stuffing_from_many_addresses_gets_no_more_than_its_share(
    api: Api, number: int
) -> None:
    await api.register(EMAIL)
    stuffed = [
        (await log_in(api, WRONG, ip=f"100.64.{each // 250}.{each % 250}")).status
        for each in range(number)
    ]
    assert stuffed.count(401) == 30
    assert stuffed.count(429) == number - 30
    assert (await log_in(api, ip=HOME, email="other@example.com")).status == 401


@waiting_long
@pytest.mark.gen_test
async def test_concurrent_attempts_are_not_more_than_allowed(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    answers = await asyncio.gather(*[api.log_in(EMAIL, WRONG) for _ in range(60)])
    statuses = [answer.status for answer in answers]
    assert statuses.count(401) == 10
    assert statuses.count(429) == 50
    assert run_sql(dsn, "SELECT max(failures) FROM throttle WHERE subject LIKE 'pair:%'") == [(10,)]


@override_settings(DATABASE__ACQUIRE_TIMEOUT_SECONDS=30, DATABASE__QUERY_TIMEOUT_SECONDS=30)
@pytest.mark.gen_test
async def test_concurrent_correct_passwords_are_all_accepted(api: Api) -> None:
    await api.register(EMAIL)
    answers = await asyncio.gather(*[api.log_in(EMAIL) for _ in range(100)])
    assert [answer.status for answer in answers] == [200] * 100


@override_settings(THROTTLE__REGISTRATIONS=3, THROTTLE__FIRST_DELAY_SECONDS=FIRST_DELAY)
@pytest.mark.gen_test
async def test_registrations_from_an_address_are_limited_also_for_taken_addresses(
    api: Api, let_pass: LetPass
) -> None:
    statuses = [(await api.register(email)).status for email in (EMAIL, EMAIL, "two@example.com")]
    assert statuses == [201, 409, 201]
    assert has_to_wait(await api.register("three@example.com"), FIRST_DELAY)
    let_pass(FIRST_DELAY)
    assert (await api.register("three@example.com")).status == 201


@override_settings(
    THROTTLE__REGISTRATIONS=3, THROTTLE__FIRST_DELAY_SECONDS=FIRST_DELAY, PASSWORDS__WORKERS=1
)
@pytest.mark.gen_test
async def test_no_more_registrations_at_once_are_hashed_than_allowed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bytes] = []
    make = bcrypt.hashpw

    def recorded(password: bytes, salt: bytes) -> bytes:
        hashed.append(password)
        return make(password, salt)

    monkeypatch.setattr("rules.password_scheme.bcrypt.hashpw", recorded)
    calls = [api.register(f"user{number}@example.com") for number in range(6)]
    answers = await asyncio.gather(*calls)
    assert sorted(answer.status for answer in answers) == [201] * 3 + [429] * 3
    assert len(hashed) == 3


@override_settings(THROTTLE__REGISTRATIONS=3, THROTTLE__FIRST_DELAY_SECONDS=FIRST_DELAY)
@pytest.mark.gen_test
async def test_a_registration_rejected_by_the_rules_is_not_counted(api: Api) -> None:
    for _ in range(5):
        assert (await api.register("no address")).status == 422
    assert (await api.register(EMAIL)).status == 201


@override_settings(PASSWORDS__CURRENT_REQUIRED=True, THROTTLE__FIRST_DELAY_SECONDS=FIRST_DELAY)
@pytest.mark.gen_test
async def test_a_new_password_requires_the_current_one_which_is_counted(api: Api) -> None:
    token = await api.registered_token(EMAIL)

    async def change(**fields: str) -> Answer:
        return await api.request(
            "PATCH", "/api/user", authorization=bearer(token), json_body=fields
        )

    missing = await change(password="another password")
    assert missing.json["errors"] == [{"field": "current_password", "message": "is required"}]
    for _ in range(10):
        wrong = await change(password="another password", current_password=WRONG)
        assert (wrong.status, wrong.json["errors"][0]["field"]) == (422, "current_password")
    assert (await change(password="another password", current_password=PASSWORD)).status == 429
    assert (await change(name="Susan")).status == 200


@override_settings(PASSWORDS__CURRENT_REQUIRED=True)
@pytest.mark.gen_test
async def test_the_correct_current_password_allows_the_change(api: Api) -> None:
    token = await api.registered_token(EMAIL)
    answer = await api.request(
        "PATCH",
        "/api/user",
        authorization=bearer(token),
        json_body={"password": "another password", "current_password": PASSWORD},
    )
    assert answer.status == 200
    assert (await api.log_in(EMAIL, "another password")).status == 200


@pytest.mark.gen_test
async def test_a_disabled_user_gets_403_only_with_the_correct_password(api: Api, dsn: str) -> None:
    token = await api.registered_token(EMAIL)
    run_sql(dsn, "UPDATE users SET disabled_at = now()")
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 401
    assert (await api.log_in(EMAIL, WRONG)).status == 401
    answer = await api.log_in(EMAIL)
    assert (answer.status, answer.problem) == (403, "account-disabled")


@from_anywhere
@pytest.mark.gen_test
async def test_correct_passwords_do_not_prolong_the_failures_of_an_address(
    api: Api, let_pass: LetPass
) -> None:
    await api.register(EMAIL)
    for number in range(99):
        await log_in(api, WRONG, email=f"user{number}@example.com")
    for _ in range(3):
        let_pass(1801)
        assert (await log_in(api)).status == 200
    assert await fail(api, 2, email="other@example.com") == [401] * 2
    assert (await log_in(api, WRONG, email="last@example.com")).status == 401


@from_anywhere
@pytest.mark.gen_test
async def test_the_password_cache_does_not_help_to_guess(api: Api) -> None:
    await api.register(EMAIL)
    assert (await log_in(api, path="", ip=HOME)).status == 200
    # From elsewhere the cache does not apply: the last guess of the burst is right.
    burst = [log_in(api, WRONG, path="", ip=ELSEWHERE) for _ in range(40)]
    answers = await asyncio.gather(*burst, log_in(api, path="", ip=ELSEWHERE))
    assert [answer.status for answer in answers].count(401) == 10
    assert answers[-1].status == 429
    burst = [log_in(api, WRONG, path="", ip=HOME) for _ in range(40)]
    answers = await asyncio.gather(*burst, log_in(api, path="", ip=HOME))
    assert answers[-1].status == 429


@from_anywhere
@pytest.mark.gen_test
async def test_a_registration_sets_the_usual_network(api: Api, let_pass: LetPass) -> None:
    answer = await api.request(
        "POST",
        "/api/user/register",
        json_body={"email": EMAIL, "password": PASSWORD},
        headers={"X-Forwarded-For": HOME},
    )
    assert answer.status == 201
    assert await fail_from_many(api, 40, let_pass) == 40
    assert (await log_in(api, ip=ELSEWHERE)).status == 429
    assert (await log_in(api, ip=HOME)).status == 200


async def ask_as_client(
    api: Api, client_id: str, secret: str, *, path: str = "introspect", ip: str = HOME
) -> Answer:
    return await api.request(
        "POST",
        f"/api/token/{path}",
        authorization=basic(client_id, secret),
        body=b"token=x",
        headers={"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": ip},
    )


@from_anywhere
@pytest.mark.parametrize("path", ["introspect", "revoke"])
@pytest.mark.gen_test
async def test_a_correct_secret_is_never_rejected_for_failures_of_users_at_its_address(
    api: Api, app: Application, path: str
) -> None:
    made = await app.services.clients.add("billing")
    tried = [await fail(api, 1, email=f"user{number}@example.com") for number in range(102)]
    assert tried == [[401]] * 100 + [[429]] * 2
    assert (await ask_as_client(api, made.client_id, made.secret, path=path)).status == 200


@from_anywhere
@pytest.mark.parametrize("path", ["introspect", "revoke"])
@pytest.mark.gen_test
async def test_a_correct_secret_is_never_rejected_for_wrong_ones_at_its_address_or_for_its_id(
    api: Api, app: Application, path: str
) -> None:
    made = await app.services.clients.add("billing")
    await app.services.clients.rotate("billing", keep_old_seconds=3600)

    async def wrong(client_id: str) -> int:
        return (await ask_as_client(api, client_id, WRONG, path=path)).status

    assert [await wrong(made.client_id) for _ in range(12)] == [401] * 10 + [429] * 2
    assert [await wrong(f"no client {number}") for number in range(92)] == [401] * 90 + [429] * 2
    # With the old secret, which is compared last.
    assert (await ask_as_client(api, made.client_id, made.secret, path=path)).status == 200


@from_anywhere
@pytest.mark.gen_test
async def test_wrong_secrets_of_a_client_are_throttled_like_wrong_passwords(
    api: Api, let_pass: LetPass
) -> None:
    client_id = "0123456789abcdef"
    for _ in range(10):
        assert (await ask_as_client(api, client_id, WRONG)).status == 401
    for seconds in (100, 200, 400):
        assert has_to_wait(await ask_as_client(api, client_id, WRONG), seconds)
        let_pass(seconds)
        assert (await ask_as_client(api, client_id, WRONG)).status == 401


@from_anywhere
@pytest.mark.gen_test
async def test_wrong_secrets_of_clients_throttle_no_user(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    for number in range(101):
        await ask_as_client(api, f"no client {number}", WRONG)
    assert (await ask_as_client(api, "no client", WRONG)).status == 429
    assert (await log_in(api, WRONG)).status == 401
    assert (await log_in(api)).status == 200
    kinds = run_sql(dsn, "SELECT DISTINCT split_part(subject, ':', 1) FROM throttle")
    assert {("client-address",), ("client-pair",), ("address",), ("pair",)} <= set(kinds)


@from_anywhere
@pytest.mark.gen_test
async def test_a_correct_secret_changes_no_count(api: Api, app: Application, dsn: str) -> None:
    made = await app.services.clients.add("billing")
    with closing(psycopg2.connect(dsn)) as connection:
        connection.cursor().execute("LOCK TABLE throttle IN ACCESS EXCLUSIVE MODE")
        assert (await ask_as_client(api, made.client_id, made.secret)).status == 200


@from_anywhere
@pytest.mark.parametrize("seconds", [960, -960])
@pytest.mark.gen_test
async def test_a_wrong_clock_of_a_host_changes_no_wait(
    api: Api, clock: Clock, seconds: int
) -> None:
    await api.register(EMAIL)
    await fail(api, 5)
    clock.advance(seconds)
    assert await fail(api, 5) == [401] * 5
    clock.advance(seconds)
    assert has_to_wait(await log_in(api, WRONG), FIRST_DELAY)
    assert has_to_wait(await log_in(api), FIRST_DELAY)

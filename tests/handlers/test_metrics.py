"""/metrics counts what happens in the server, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import pairwise
from urllib.parse import urlencode

import pytest

from db.events import EventFilter
from handlers import routes
from handlers.application import Application
from rules.errors import DatabaseUnavailable, problem_types
from services.event_kinds import EventKind
from services.readiness import Readiness
from settings import Settings
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.blocked_hashes import BlockedHashes
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings, settings_with
from tests.harness.disconnecting import send_and_disconnect
from tests.harness.failures import raising
from tests.harness.gate import Gate
from tests.harness.raw_http import exchange, raw_request
from tests.harness.scraping import Scrape, scrape
from tests.harness.waiting import until

EMAIL = "susan@example.com"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SECONDS = 30.0
# The port only enables metrics: these tests listen themselves.
SETTINGS = {
    "METRICS__PORT": 9464,
    "PASSWORDS__WORKERS": 1,
    "DATABASE__POOL_MAX": 2,
    "TOKENS__MAX_PER_USER": 4,
    "THROTTLE__PAIR_FAILURES": 3,
}
# With shorter limits, requests fail on a busy machine.
TIME_LIMITS = {"DATABASE__ACQUIRE_TIMEOUT_SECONDS": 2.0, "DATABASE__QUERY_TIMEOUT_SECONDS": 2.0}
Read = Callable[[], Awaitable[Scrape]]


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """Return the settings above, with those that ``override_settings`` changes."""
    return settings_with(**{**SETTINGS, **getattr(request, "param", {})})


@pytest.fixture
def dsn(dsn: str, gate: Gate) -> str:
    """Connect the application through the gate, to the same empty database."""
    assert dsn != gate.dsn
    return gate.dsn


@pytest.fixture
def read(port: int) -> Read:
    return lambda: scrape(port)


async def read_until(read: Read, name: str, value: float, **labels: str) -> Scrape:
    """Read repeatedly until a sample has a value."""
    async with asyncio.timeout(SECONDS):
        while (found := await read()).value(name, **labels) != value:
            await asyncio.sleep(0.001)
    return found


@pytest.mark.gen_test
async def test_requests_count_by_route_method_and_status(api: Api, read: Read) -> None:
    token = await api.registered_token()
    for _ in range(3):
        await api.request("GET", "/api/user", authorization=bearer(token))
    await api.request("HEAD", "/api/user", authorization=bearer(token))
    await api.request("GET", "/api/user")
    await api.request("DELETE", "/api/user/tokens/no-such-id", authorization=bearer(token))
    await api.request("GET", "/nowhere")
    found = await read()

    def count(route: str, method: str, status: int) -> float:
        labels = {"route": route, "method": method, "status": str(status)}
        return found.value("userauth_requests_total", **labels)

    assert count("/api/user/register", "POST", 201) == 1
    assert count("/api/user/login", "GET", 200) == 1
    assert count("/api/user", "GET", 200) == 3
    assert count("/api/user", "HEAD", 200) == 1
    assert count("/api/user", "GET", 401) == 1
    assert count("/api/user/tokens/{id}", "DELETE", 404) == 1
    assert count("unknown", "GET", 404) == 1
    took = {"route": "/api/user", "method": "GET", "status": "2xx"}
    assert found.value("userauth_request_seconds_count", **took) == 3
    assert 0 < found.value("userauth_request_seconds_sum", **took) < SECONDS
    assert found.value("userauth_request_seconds_bucket", le="+Inf", **took) == 3


@pytest.mark.gen_test
async def test_running_and_waiting_hashes_are_counted_and_a_disconnect_is_499(
    api: Api, read: Read, hashes: BlockedHashes
) -> None:
    await api.register()
    before = await read()
    first = asyncio.create_task(api.log_in())
    await until(lambda: len(hashes.threads) == 1)
    second = asyncio.create_task(api.log_in())
    found = await read_until(read, "userauth_hashes_waiting", 1)
    assert found.value("userauth_requests_running") == 2
    send_and_disconnect(api)
    found = await read_until(read, "userauth_requests_total", 1, status="499")
    assert found.value("userauth_hash_workers") == 1
    assert found.value("userauth_hashes_running") == 1
    assert found.value("userauth_hashes_waiting") == 1
    hashes.may_continue.set()
    assert (await first).status == (await second).status == 200
    after = await read()
    for running in ("userauth_requests_running", "userauth_hashes_running"):
        assert after.value(running) == 0
    for histogram in ("userauth_hash_seconds", "userauth_hash_wait_seconds"):
        assert after.value(f"{histogram}_count") == before.value(f"{histogram}_count") + 2
        assert after.value(f"{histogram}_sum") > before.value(f"{histogram}_sum")
    assert after.value("userauth_hashes_rejected_total") == 0


@pytest.mark.gen_test
@override_settings(PASSWORDS__MAX_WAIT_SECONDS=0.00001)
async def test_rejected_hashes_are_counted(api: Api, read: Read, hashes: BlockedHashes) -> None:
    await api.register()
    first = asyncio.create_task(api.log_in())
    await until(lambda: len(hashes.threads) == 1)
    assert (await api.log_in()).status == 503
    found = await read()
    assert found.value("userauth_hashes_rejected_total") == 1
    assert found.value("userauth_problems_total", problem="overloaded") == 1
    hashes.may_continue.set()
    assert (await first).status == 200


@pytest.mark.gen_test
async def test_concurrent_lookups_share_a_statement_whose_keys_are_counted(
    api: Api, read: Read
) -> None:
    tokens = [await api.registered_token(), await api.token()]
    before = await read()
    requests = [
        raw_request("GET", "/api/user", f"Authorization: {bearer(token)}", close=True)
        for token in tokens * 20
    ]
    answers = await asyncio.gather(*(exchange(api, request) for request in requests))
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    after = await read()

    def grown(name: str) -> float:
        labels = {"lookup": "users_of_tokens"}
        return after.value(name, **labels) - before.value(name, **labels)

    statements = grown("userauth_lookup_seconds_count")
    assert 1 <= statements <= 40
    assert grown("userauth_lookup_keys_count") == statements
    assert statements <= grown("userauth_lookup_keys_sum") <= 2 * statements
    assert 0 < grown("userauth_lookup_seconds_sum") < SECONDS


@pytest.mark.gen_test
async def test_connections_in_use_and_waiting_requests_are_counted(
    app: Application, read: Read, settings: Settings
) -> None:
    database = app.services.usage._database  # noqa: SLF001 - handlers cannot hold one
    before = await read()
    async with AsyncExitStack() as stack:
        for _ in range(settings.database.pool_max):
            await stack.enter_async_context(database.connection())
        waiting = asyncio.create_task(stack.enter_async_context(database.connection()))
        await until(lambda: database.waiting == 1)
        found = await read()
        assert found.value("userauth_pool_size") == 2
        assert found.value("userauth_pool_in_use") == 2
        assert found.value("userauth_pool_waiting") == 1
        waiting.cancel()
        await asyncio.wait([waiting])
    after = await read()
    assert after.value("userauth_pool_in_use") == after.value("userauth_pool_waiting") == 0
    name = "userauth_pool_wait_seconds_count"
    # A periodic task may have taken one as well.
    assert after.value(name) >= before.value(name) + 2


@pytest.mark.gen_test
@override_settings(**TIME_LIMITS)
async def test_metrics_can_be_read_while_the_database_is_unavailable(
    api: Api, read: Read, gate: Gate
) -> None:
    token = await api.registered_token()
    await gate.shut()
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 503
    assert (await api.request("GET", "/health/ready")).status == 503
    assert (await api.register("peter@example.com")).status == 503
    found = await read()
    assert found.value("userauth_problems_total", problem="database-unavailable") == 3
    assert found.value("userauth_lookup_failures_total", lookup="users_of_tokens") >= 1
    assert found.value("userauth_lookup_failures_total", lookup="attempt_counts") == 1
    await gate.open()
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 200
    failures = (await read()).value("userauth_lookup_failures_total")
    assert failures == found.value("userauth_lookup_failures_total")


@pytest.mark.gen_test
@override_settings(**TIME_LIMITS)
async def test_a_statement_that_times_out_counts_as_one_failure(
    api: Api, read: Read, gate: Gate
) -> None:
    token = await api.registered_token()
    gate.silence()
    assert (await api.request("GET", "/api/user", authorization=bearer(token))).status == 503
    # Time limits are checked ten times a second: a second failure would be counted by then.
    await asyncio.sleep(0.5)
    found = await read()
    assert found.value("userauth_lookup_failures_total", lookup="users_of_tokens") == 1
    await gate.shut()


@pytest.mark.gen_test
async def test_a_failed_connection_is_counted(app: Application, read: Read, gate: Gate) -> None:
    await gate.shut()
    with pytest.raises(DatabaseUnavailable):
        await app.services.audit.find(EventFilter(), limit=1)
    with pytest.raises(DatabaseUnavailable):
        await app.services.audit.find(EventFilter(), limit=1)
    assert (await read()).value("userauth_pool_failures_total") >= 1


@pytest.mark.gen_test
async def test_issued_tokens_are_counted_and_revoked_ones_by_reason(
    api: Api, app: Application, read: Read, clock: Clock
) -> None:
    async def token(password: str = PASSWORD) -> str:
        clock.advance(1)
        return await api.token(password=password)

    async def send(method: str, path: str, token: str, **more: object) -> None:
        answer = await api.request(method, path, authorization=bearer(token), **more)  # type: ignore[arg-type]
        assert answer.status < 300, answer

    await api.register()
    first = [await token() for _ in range(5)]  # one more than a user may have
    await send("POST", "/api/user/logout", first[4])
    await send("DELETE", f"/api/user/tokens/{first[3].partition('.')[0]}", first[2])
    client = await app.services.clients.add("billing")
    for _ in range(2):  # the second time it is already revoked
        answer = await api.request(
            "POST",
            "/api/token/revoke",
            authorization=basic(client.client_id, client.secret),
            body=urlencode({"token": first[2]}).encode(),
            headers=FORM,
        )
        assert answer.status == 200
    await send("DELETE", "/api/user/tokens", first[1])
    second = [await token() for _ in range(3)]
    await send("PATCH", "/api/user", second[0], json_body={"password": PASSWORD + "!"})
    await token(PASSWORD + "!")
    await send("DELETE", "/api/user", second[0])
    found = await read()
    assert found.value("userauth_tokens_issued_total") == 9
    reasons = {
        reason: found.value("userauth_tokens_revoked_total", reason=reason)
        for reason in found.labels("reason")
    }
    assert reasons == {
        "replaced": 0,
        "surplus": 1,
        "logged-out": 1,
        "ended": 2,  # by its id, and then the last of the first five
        "client": 1,
        "password-changed": 2,
        "email-restored": 0,
        "user-deleted": 2,
    }


@pytest.mark.gen_test
async def test_failed_passwords_and_throttled_requests_are_counted(api: Api, read: Read) -> None:
    await api.register()
    for _ in range(3):
        assert (await api.log_in(password="wrong password")).status == 401
    assert (await api.log_in()).status == 429
    await api.request("GET", "/api/user", authorization=bearer("no.good.token"))
    found = await read()

    def problems(name: str) -> float:
        return found.value("userauth_problems_total", problem=name)

    assert problems("credentials-invalid") == 3
    assert problems("too-many-tries") == 1
    assert problems("token-invalid") == 1
    assert found.value("userauth_events_total", kind="password-failed") == 3
    assert found.value("userauth_events_total", kind="throttled") == 1
    assert found.value("userauth_events_total", kind="registered") == 1


@pytest.mark.gen_test
async def test_a_500_is_counted(
    api: Api, read: Read, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Readiness, "check_ready", raising(RuntimeError("broken")))
    assert (await api.request("GET", "/health/ready")).status == 500
    found = await read()
    assert found.value("userauth_problems_total", problem="internal-error") == 1
    assert found.value("userauth_requests_total", route="/health/ready", status="500") == 1
    caplog.clear()


@pytest.mark.gen_test
async def test_every_count_without_a_route_starts_at_0(
    read: Read,
) -> None:
    found = await read()
    assert found.labels("problem") == {kind.name for kind in problem_types()}
    assert found.labels("kind") == {kind.value for kind in EventKind}
    assert not any(
        value
        for (name, _), value in found.samples.items()
        if name.startswith("userauth_") and name.endswith("_total")
    )


@pytest.mark.gen_test
async def test_no_label_grows_with_users_paths_methods_or_ids(api: Api, read: Read) -> None:
    async def do_everything(begin: int, end: int) -> None:
        for number in range(begin, end):
            token = await api.registered_token(f"user{number}@example.com")
            path = f"/api/user/tokens/{token.partition('.')[0]}"
            await api.request("DELETE", path, authorization=bearer(token))
        paths = [f"/nowhere/{number}?q={number}" for number in range(100 * begin, 100 * end)]
        for paths_at_once in (paths[at : at + 50] for at in range(0, len(paths), 50)):
            await asyncio.gather(*(api.request("GET", path) for path in paths_at_once))
        for number in range(begin, end):
            await exchange(api, raw_request(f"METHOD{number}", "/api/user", close=True))
            await exchange(api, raw_request(f"METHOD{number}", f"/x{number}", close=True))

    await do_everything(0, 2)
    before = await read()
    await do_everything(2, 12)
    after = await read()
    assert set(after.samples) == set(before.samples)
    known = {str(path).replace("([^/]+)", "{id}") for path, _ in routes}
    assert after.labels("route") <= known | {"unknown"}
    assert after.labels("method") <= {"GET", "POST", "DELETE", "other"}
    assert after.value("userauth_requests_total", route="unknown", method="GET") == 1200
    assert after.value("userauth_requests_total", method="other") == 24


@pytest.mark.gen_test
async def test_metrics_hold_no_secret_address_or_id(api: Api, app: Application, port: int) -> None:
    user = (await api.register(name="Susan Miller")).json
    token = await api.token()
    client = await app.services.clients.add("billing")
    headers = {"X-Request-ID": "chosen-by-a-client"}
    await api.request(
        "GET", f"/api/user?token={token}", authorization=bearer(token), headers=headers
    )
    await api.request("DELETE", f"/api/user/tokens/{token}", authorization=bearer(token))
    await api.request("GET", f"/{token}/{EMAIL}", authorization=basic(EMAIL, PASSWORD))
    await exchange(api, raw_request("SUSAN", "/api/user", close=True))
    text = (await scrape(port)).text
    parts = [EMAIL, "susan", "miller", PASSWORD, user["id"], token, client.client_id, "billing"]
    parts += [client.secret, headers["X-Request-ID"], *token.split(".")]
    assert not [part for part in parts if part.lower() in text.lower()]


@pytest.mark.gen_test
async def test_the_buckets_cover_lookups_and_slow_logins(api: Api, read: Read) -> None:
    await api.register()
    found = await read()
    for name in ("request_seconds", "hash_seconds", "lookup_seconds", "event_loop_lag_seconds"):
        bounds = {
            float(dict(labels)["le"])
            for sample, labels in found.samples
            if sample == f"userauth_{name}_bucket"
        }
        assert min(bounds) == 0.0001
        assert sorted(bounds)[-2] == 10
        # A factor of at most 2.5 between two bounds is the accuracy of a quantile.
        finite = sorted(bounds)[:-1]
        assert all(above / below <= 2.5 for below, above in pairwise(finite))

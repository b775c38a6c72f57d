"""The queue for hashes below the handlers: floods, and clients that disconnect."""

import asyncio
import threading
from contextlib import AbstractAsyncContextManager

import pytest

from handlers.application import Application
from rules.hash_queue import HashQueue, Slot
from rules.turns import Caller
from settings import Settings
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.blocked_hashes import BlockedHashes
from tests.harness.configuration import override_settings, settings_with
from tests.harness.raw_http import connected, raw_request
from tests.harness.waiting import until

EMAIL = "susan@example.com"


@pytest.fixture
def requested_slots(monkeypatch: pytest.MonkeyPatch) -> list[Caller]:
    """Record the caller of each slot that is requested."""
    requested: list[Caller] = []
    slot = HashQueue.slot

    def recorded(queue: HashQueue, who: Caller) -> AbstractAsyncContextManager[Slot]:
        requested.append(who)
        return slot(queue, who)

    monkeypatch.setattr(HashQueue, "slot", recorded)
    return requested


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    """Allow one worker, so that a second hash has to wait."""
    return settings_with(PASSWORDS__WORKERS=1, **getattr(request, "param", {}))


@pytest.mark.gen_test
@override_settings(PASSWORDS__MAX_WAIT_SECONDS=0.00001)
async def test_a_flood_of_logins_is_503_while_tokens_are_served(
    api: Api, hashes: BlockedHashes
) -> None:
    hashes.may_continue.set()
    token = await api.registered_token(EMAIL)
    hashes.may_continue.clear()
    hashes.threads.clear()
    first = asyncio.create_task(api.log_in(EMAIL))
    await until(lambda: bool(hashes.threads))
    for answer in await asyncio.gather(*(api.log_in(EMAIL) for _ in range(20))):
        assert (answer.status, answer.problem) == (503, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
    rejected = await api.register("peter@example.com")
    assert (rejected.status, rejected.problem) == (503, "overloaded")
    for authorization in (bearer(token), basic(token)):
        answer = await api.request("GET", "/api/user", authorization=authorization)
        assert answer.status == 200
    assert not first.done()
    hashes.may_continue.set()
    assert (await first).status == 200
    assert (await api.log_in(EMAIL)).status == 200


@pytest.mark.gen_test
async def test_nothing_is_hashed_for_a_caller_that_disconnected(
    app: Application,
    api: Api,
    hashes: BlockedHashes,
    requested_slots: list[Caller],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert (await api.register(EMAIL)).status == 201
    first = asyncio.create_task(api.log_in(EMAIL))
    await until(lambda: bool(hashes.threads))
    requests = len(requested_slots)
    async with connected(api) as (_, writer):
        writer.write(
            raw_request("GET", "/api/user/login", f"Authorization: {basic(EMAIL, PASSWORD)}")
        )
        await until(lambda: len(requested_slots) > requests)
    await until(lambda: app.running == 1)
    hashes.may_continue.set()
    assert (await first).status == 200
    assert (await api.log_in(EMAIL)).status == 200
    assert len(hashes.threads) == 2
    assert threading.main_thread() not in hashes.threads
    assert not caplog.records

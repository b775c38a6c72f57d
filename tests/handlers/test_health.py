"""/health: whether the server runs, and whether it is ready."""

import asyncio

import pytest

from handlers.application import Application
from tests.harness.api import PASSWORD, Api, basic
from tests.harness.blocked_hashes import BlockedHashes
from tests.harness.raw_http import exchange, parse_answer, raw_request
from tests.harness.waiting import until

EMAIL = "susan@example.com"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
@pytest.mark.gen_test
async def test_a_healthy_server_returns_ok_and_no_more(api: Api, path: str) -> None:
    answer = await api.request("GET", path)
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.gen_test
async def test_a_draining_server_is_live_and_not_ready(
    api: Api, app: Application, method: str
) -> None:
    app.draining = True
    ready = await api.request(method, "/health/ready")
    live = await api.request(method, "/health/live")
    assert (ready.status, live.status) == (503, 200)
    if method == "GET":
        assert ready.problem == "shutting-down"


@pytest.mark.gen_test
async def test_a_draining_server_serves_and_closes_its_connections(
    api: Api, app: Application
) -> None:
    await api.register()
    app.draining = True
    authorization = f"Authorization: {basic(EMAIL, PASSWORD)}"
    for path, status in {"/api/user": 200, "/api/user/login": 200, "/nowhere": 404}.items():
        received = await exchange(api, raw_request("GET", path, authorization))
        answer, rest = parse_answer(received, "GET")
        assert (answer.status, rest) == (status, b"")
        assert answer.headers["Connection"] == "close"


@pytest.mark.gen_test
async def test_the_server_responds_while_passwords_are_hashed(
    api: Api, hashes: BlockedHashes
) -> None:
    await api.register()
    log_ins = [asyncio.create_task(api.log_in()) for _ in range(50)]
    await until(lambda: hashes.threads)
    assert (await api.request("GET", "/health/live")).status == 200
    assert not any(log_in.done() for log_in in log_ins)
    hashes.may_continue.set()
    assert {answer.status for answer in await asyncio.gather(*log_ins)} == {200}

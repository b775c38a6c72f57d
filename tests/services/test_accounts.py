"""Accounts, managed by their users."""

import asyncio

import pytest

from handlers.application import Application
from rules.turns import Caller
from tests.harness.api import PASSWORD, Api, basic, bearer
from tests.harness.configuration import override_settings
from tests.harness.sql import run_sql
from tests.harness.waiting import until

EMAIL = "susan@example.com"
ACCOUNTS = "SELECT count(*) FROM throttle WHERE subject LIKE 'account:%'"


@pytest.mark.gen_test
async def test_a_deletion_deletes_the_count_of_the_account(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    await api.log_in(EMAIL, "wrong password")
    assert run_sql(dsn, ACCOUNTS) == [(1,)]
    answer = await api.request("DELETE", "/api/user", authorization=basic(EMAIL, PASSWORD))
    assert answer.status == 200
    assert run_sql(dsn, ACCOUNTS) == [(0,)]


@override_settings(THROTTLE__HASHES_PER_MINUTE=2, PASSWORDS__WORKERS=1)
@pytest.mark.gen_test
async def test_a_new_password_that_waited_is_not_hashed_once_the_budget_is_exhausted(
    api: Api, app: Application
) -> None:
    token = await api.registered_token(EMAIL)  # takes the first of two hashes
    changes = [
        api.request(
            "PATCH",
            "/api/user",
            authorization=bearer(token),
            json_body={"password": f"new horse battery {number}"},
        )
        for number in range(3)
    ]
    queue = app.services.hash_queue
    async with queue.slot(Caller.at(None, "another account")):
        waiting = asyncio.gather(*changes)
        await until(lambda: queue.waiting >= len(changes))
    answers = await waiting
    assert sorted(answer.status for answer in answers) == [200, 429, 429]

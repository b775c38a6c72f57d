"""Accounts, managed by their users."""

import pytest

from tests.harness.api import PASSWORD, Api, basic
from tests.harness.sql import run_sql

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

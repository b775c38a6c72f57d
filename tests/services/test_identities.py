"""Identities: credentials verified."""

import asyncio

import pytest

from tests.harness.api import Api
from tests.harness.configuration import override_settings

EMAIL = "susan@example.com"


@override_settings(THROTTLE__HASHES_PER_MINUTE=1, PASSWORDS__WORKERS=1)
@pytest.mark.gen_test
async def test_a_password_that_waited_is_not_hashed_once_the_budget_is_exhausted(
    api: Api, checks: list[bytes]
) -> None:
    await api.register(EMAIL)
    answers = await asyncio.gather(*(api.log_in(EMAIL) for _ in range(3)))
    assert sorted(answer.status for answer in answers) == [200, 429, 429]
    assert len(checks) == 1

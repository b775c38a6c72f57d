"""Turns for the writes of one user."""

import asyncio

import pytest

from rules.budget import Budget
from rules.errors import TooManyWrites
from rules.write_turns import MAX_WAITING, WriteTurns
from tests.harness.clock import Clock


def turns(per_minute: int = 60, max_wait_seconds: float = 60) -> WriteTurns:
    clock = Clock()
    return WriteTurns(Budget(per_minute, clock), Budget(2 * per_minute, clock), max_wait_seconds)


def test_writes_of_one_user_run_one_at_a_time_and_a_limited_number_waits() -> None:
    async def flow() -> None:
        writes, at_a_time, ran = turns(), 0, []

        async def write(number: int) -> None:
            nonlocal at_a_time
            async with writes.turn("susan"):
                at_a_time += 1
                assert at_a_time == 1
                await asyncio.sleep(0)
                at_a_time -= 1
                ran.append(number)

        ended = await asyncio.gather(*map(write, range(40)), return_exceptions=True)
        rejected = [each for each in ended if each is not None]
        assert all(isinstance(each, TooManyWrites) for each in rejected)
        assert len(rejected) == 40 - 1 - MAX_WAITING
        assert ran == list(range(1 + MAX_WAITING))
        await write(40)

    asyncio.run(flow())


def test_users_do_not_wait_for_each_other() -> None:
    async def flow() -> None:
        writes = turns()
        async with asyncio.timeout(30), writes.turn("susan"), writes.turn("peter"):
            pass

    asyncio.run(flow())


def test_a_write_that_fails_or_is_cancelled_releases_the_turn() -> None:
    async def flow() -> None:
        writes = turns()

        async def wait_in_turn() -> None:
            async with writes.turn("susan"):
                await asyncio.sleep(0)

        with pytest.raises(RuntimeError, match="on purpose"):
            async with writes.turn("susan"):
                waiting = asyncio.create_task(wait_in_turn())
                await asyncio.sleep(0)
                waiting.cancel()
                raise RuntimeError("on purpose")
        async with asyncio.timeout(30):
            await wait_in_turn()

    asyncio.run(flow())


def test_each_credential_of_a_user_has_its_own_budget() -> None:
    writes = turns(per_minute=2)
    writes.spend("stolen token")
    writes.spend("stolen token")
    with pytest.raises(TooManyWrites) as rejected:
        writes.spend("stolen token")
    assert rejected.value.retry_after_seconds == 30
    writes.spend("token of the owner")


def test_the_wait_for_a_turn_is_bounded() -> None:
    async def flow() -> None:
        writes = turns(max_wait_seconds=0.01)
        async with writes.turn("susan"):
            with pytest.raises(TooManyWrites):
                async with writes.turn("susan"):
                    pass
        async with writes.turn("susan"):
            pass

    asyncio.run(flow())


def test_changes_by_many_credentials_of_one_user_are_bounded_and_revocations_are_not() -> None:
    writes = turns(per_minute=2)
    for number in range(4):
        writes.spend_change(f"token {number}", "susan")
    with pytest.raises(TooManyWrites):
        writes.spend_change("token 5", "susan")
    writes.spend("token 5")
    writes.spend_change("token of peter", "peter")

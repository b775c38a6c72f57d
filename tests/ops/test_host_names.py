"""Host names that are resolved quickly, slowly or never."""

import asyncio
import socket

import pytest

from ops.host_names import HostNames
from tests.harness.name_servers import name_servers
from tests.harness.threads import no_new_threads

ONE, TWO = ["10.0.0.1"], ["10.0.0.2"]


async def _gives_up(names: HostNames, name: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await names.resolve(name)


def test_callers_of_one_name_share_its_resolution_also_if_some_give_up() -> None:
    async def run() -> None:
        names = HostNames()
        with name_servers(one="10.0.0.1") as servers:
            servers.silent.add("one")
            for _ in range(10):
                await _gives_up(names, "one")
            waiting = [asyncio.create_task(names.resolve("one")) for _ in range(3)]
            await asyncio.sleep(0)
            servers.release()
            assert await asyncio.gather(*waiting) == [ONE] * 3
            assert servers.asked == ["one"]

    asyncio.run(run())


def test_names_that_are_never_resolved_leave_the_others_alone() -> None:
    async def run() -> None:
        names = HostNames()
        with name_servers(one="10.0.0.1") as servers:
            silent = [f"silent{number}" for number in range(40)]
            servers.silent.update(silent)
            for name in silent:
                await _gives_up(names, name)
            async with asyncio.timeout(20):
                assert await names.resolve("one") == ONE

    asyncio.run(run())


def test_each_call_after_an_answer_asks_again() -> None:
    async def run() -> None:
        names = HostNames(patience_seconds=20)
        with name_servers(one="10.0.0.1") as servers:
            assert await names.resolve("one") == ONE
            servers.addresses["one"] = "10.0.0.2"
            assert await names.resolve("one") == TWO

    asyncio.run(run())


def test_the_earlier_addresses_are_used_while_name_servers_are_silent_or_fail() -> None:
    async def run() -> None:
        names = HostNames()
        with name_servers(one="10.0.0.1") as servers:
            await names.resolve("one")
            del servers.addresses["one"]
            assert await names.resolve("one") == ONE
            servers.silent.add("one")
            async with asyncio.timeout(20):
                assert await names.resolve("one") == ONE

    asyncio.run(run())


def test_a_name_that_no_longer_exists_has_no_addresses() -> None:
    async def run() -> None:
        names = HostNames(patience_seconds=20)
        with name_servers(one="10.0.0.1") as servers:
            await names.resolve("one")
            servers.removed.add("one")
            with pytest.raises(socket.gaierror):
                await names.resolve("one")

    asyncio.run(run())


def test_a_name_whose_thread_cannot_start_is_not_resolved_now_and_is_asked_for_later() -> None:
    async def run() -> None:
        names = HostNames()
        with name_servers(one="10.0.0.1"):
            with no_new_threads(), pytest.raises(OSError, match="can't start new thread") as caught:
                await names.resolve("one")
            assert caught.value.errno == socket.EAI_AGAIN
            assert await names.resolve("one") == ONE

    asyncio.run(run())


def test_the_earlier_addresses_are_used_while_no_thread_can_start() -> None:
    async def run() -> None:
        names = HostNames()
        with name_servers(one="10.0.0.1"):
            await names.resolve("one")
            with no_new_threads():
                assert await names.resolve("one") == ONE

    asyncio.run(run())


def test_a_link_local_address_keeps_its_zone() -> None:
    assert asyncio.run(HostNames().resolve("fe80::1%lo")) == ["fe80::1%lo"]


def test_addresses_of_both_families_are_returned_as_text() -> None:
    assert asyncio.run(HostNames().resolve("127.0.0.1")) == ["127.0.0.1"]
    assert asyncio.run(HostNames().resolve("::1")) == ["::1"]

"""SIGHUP in each phase of the life of the server."""

import asyncio
import io
import signal
from collections.abc import Iterator

import pytest

from wiring.signals import exit_on_stop_signals, reload_on_hangup, stop_event


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SIGHUP reload: in a terminal, it stops the server."""
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Restore the handlers of signals after each test."""
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    known = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in known.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("early", "late", "expected"), [(0, 0, 0), (0, 1, 1), (3, 0, 1), (1, 1, 2)]
)
def test_hangups_before_the_server_can_reload_cause_one_reload_after_the_start(
    early: int, late: int, expected: int
) -> None:
    reloads: list[int] = []

    async def serve() -> None:
        with stop_event():
            reload_on_hangup(lambda: reloads.append(1), hangups)
            assert reloads == []
            await asyncio.sleep(0)
            for _ in range(late):
                signal.raise_signal(signal.SIGHUP)
                await asyncio.sleep(0)
                await asyncio.sleep(0)

    hangups = exit_on_stop_signals()
    for _ in range(early):
        signal.raise_signal(signal.SIGHUP)
    asyncio.run(serve())
    assert reloads == [1] * expected
    # The server has stopped, and ignores it.
    signal.raise_signal(signal.SIGHUP)
    assert reloads == [1] * expected

"""The signals that the server handles, in each phase of its life.

Handlers are only set with signal.signal(): removing one with the event loop's methods, or closing
the loop, restores the default action for a moment, and a signal in that moment would kill the
process before the embedded Postgres is stopped.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def exit_on_stop_signals() -> None:
    """Until the event loop runs, make a stop signal exit through all open context managers."""
    # There is nothing to reload yet.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in _stop_signals():
        signal.signal(number, _exit)


@contextmanager
def stop_event() -> Iterator[asyncio.Event]:
    """Yield an event that the stop signals set; afterwards, ignore signals.

    Neither a second signal nor a reload may interrupt the stop of the embedded Postgres.
    """
    stop = asyncio.Event()
    for number in _stop_signals():
        _call_in_loop(number, stop.set)
    try:
        yield stop
    finally:
        for number in {*_stop_signals(), signal.SIGHUP}:
            signal.signal(number, signal.SIG_IGN)


def reload_on_hangup(reload: Callable[[], None]) -> None:
    """Call ``reload`` in the event loop on SIGHUP, unless SIGHUP stops the server."""
    if signal.SIGHUP not in _stop_signals():
        _call_in_loop(signal.SIGHUP, reload)


def _call_in_loop(number: signal.Signals, callback: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    signal.signal(number, lambda *_: loop.call_soon_threadsafe(callback))


def _stop_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that stop the server; in a terminal, closing it sends SIGHUP."""
    is_in_terminal = sys.stdin is not None and sys.stdin.isatty()
    usual = (signal.SIGTERM, signal.SIGINT)
    return (*usual, signal.SIGHUP) if is_in_terminal else usual


def _exit(_number: int, _frame: object) -> None:
    sys.exit(0)

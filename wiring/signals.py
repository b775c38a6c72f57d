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


class Hangups:
    """Whether SIGHUP arrived before the server could reload: that reload follows the start."""

    def __init__(self) -> None:
        self.has_waiting = False

    def note(self, _number: int, _frame: object) -> None:
        """Note a SIGHUP."""
        self.has_waiting = True


def exit_on_stop_signals() -> Hangups:
    """Until the event loop runs, make a stop signal exit through all open context managers.

    Return the SIGHUPs that arrive before ``reload_on_hangup``: the keys and the certificate are
    read long before, and may have changed since.
    """
    hangups = Hangups()
    signal.signal(signal.SIGHUP, hangups.note)
    for number in _stop_signals():
        signal.signal(number, _exit)
    return hangups


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


def reload_on_hangup(reload: Callable[[], None], hangups: Hangups) -> None:
    """Call ``reload`` in the event loop on SIGHUP, unless SIGHUP stops the server.

    For earlier SIGHUPs, call it as soon as the caller awaits something.
    """
    if signal.SIGHUP not in _stop_signals():
        _call_in_loop(signal.SIGHUP, reload)
    if hangups.has_waiting:
        asyncio.get_running_loop().call_soon(reload)


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

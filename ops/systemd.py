"""What systemd says to a service, and what it wants to hear: sd_listen_fds(3), sd_notify(3).

Both are a few variables and a datagram; the packages for it bind to libsystemd, or send the
datagram and nothing else. Without systemd there are no variables, and all of this does nothing.
"""

import asyncio
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

_FIRST_DESCRIPTOR = 3
# How often, within the time that systemd allows, it is told that the loop still turns.
_BEATS = 3
_SHORTEST_BEAT_SECONDS = 0.01
_MOST_DIGITS = 19
# How long systemd may take to take what it is told; a beat is left out rather.
_PATIENCE_SECONDS = 1.0


class SystemdError(Exception):
    """What was handed over cannot be used; the message tells the operator why."""


class Systemd:
    """Whoever started this process, where that is systemd."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take over the sockets; raises SystemdError where one is none that listens."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watchdog_seconds = 0.0
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            self._watchdog_seconds = _number(environ, "WATCHDOG_USEC") / 1_000_000
        self.sockets = _sockets(environ)
        self._beat: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """Say that the service serves, and go on saying so for as long as the loop turns."""
        self._tell("READY=1", f"STATUS={status}", patience=_PATIENCE_SECONDS)
        if self._watchdog_seconds and self._beat is None:
            self._keep_alive()

    def reloading(self) -> None:
        """Say that settings are read again; ready() says that they are."""
        self._tell(
            "RELOADING=1",
            f"MONOTONIC_USEC={time.monotonic_ns() // 1000}",
            patience=_PATIENCE_SECONDS,
        )

    def stopping(self, status: str, *, max_seconds: float) -> None:
        """Say that the service ends, and how long that may take where TimeoutStopSec= is less."""
        self._tell(
            "STOPPING=1",
            f"STATUS={status}",
            f"EXTEND_TIMEOUT_USEC={round(max_seconds * 1_000_000)}",
            patience=_PATIENCE_SECONDS,
        )

    def close(self) -> None:
        """Say nothing more of the loop."""
        if self._beat is not None:
            self._beat.cancel()

    def _keep_alive(self) -> None:
        self._tell("WATCHDOG=1")
        loop = asyncio.get_running_loop()
        self._beat = loop.call_later(
            max(self._watchdog_seconds / _BEATS, _SHORTEST_BEAT_SECONDS), self._keep_alive
        )

    def _tell(self, *assignments: str, patience: float = 0.0) -> None:
        if not self._address:
            return
        # "@" stands for the NUL of the abstract namespace.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        # A service that cannot tell how it goes goes on all the same.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            teller.settimeout(patience)
            teller.sendto("\n".join(assignments).encode(), address)


def _sockets(environ: Mapping[str, str]) -> Sequence[socket.socket]:
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return ()  # they are somebody else's
    return [
        _listening(_FIRST_DESCRIPTOR + number) for number in range(_number(environ, "LISTEN_FDS"))
    ]


def _listening(descriptor: int) -> socket.socket:
    try:
        taken = socket.socket(fileno=descriptor)
        listens = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SystemdError(f"LISTEN_FDS: {descriptor} is no socket ({error.strerror}).") from None
    if not listens or taken.type != socket.SOCK_STREAM:
        raise SystemdError(f"LISTEN_FDS: {descriptor} is no stream socket that listens.")
    if taken.family not in {socket.AF_INET, socket.AF_INET6}:
        raise SystemdError(
            f"LISTEN_FDS: {descriptor} is no TCP socket: its clients have no address."
        )
    taken.settimeout(0)
    taken.set_inheritable(False)
    return taken


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name) or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < _MOST_DIGITS):
        raise SystemdError(f"{name} is no number.")
    return int(text)

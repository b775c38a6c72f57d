"""The protocols of systemd for socket activation and notification: sd_listen_fds(3), sd_notify(3).

They consist of a few variables and a datagram, so this needs no package. Without systemd the
variables are not set, and all of this does nothing.
"""

import asyncio
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

_FIRST_DESCRIPTOR = 3
# The number of keep-alive messages within the watchdog timeout.
_KEEP_ALIVES = 3
_MIN_KEEP_ALIVE_SECONDS = 0.01
_MAX_DIGITS = 19
# How long to wait for systemd to accept a message; a keep-alive message is skipped instead.
_SEND_SECONDS = 1.0


class SystemdError(Exception):
    """A variable or a socket of systemd cannot be used; the message names the cause."""


class Systemd:
    """The service manager, if it started this process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take over the passed sockets; raises SystemdError if one is not listening."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._watchdog_seconds = 0.0
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            self._watchdog_seconds = _number(environ, "WATCHDOG_USEC") / 1_000_000
        self.sockets = _sockets(environ)
        self._keep_alive_timer: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """Report that the service is ready, and keep the watchdog alive while the loop runs."""
        self._send("READY=1", f"STATUS={status}", timeout=_SEND_SECONDS)
        if self._watchdog_seconds and self._keep_alive_timer is None:
            self._keep_alive()

    def reloading(self) -> None:
        """Report the start of a reload; ready() reports its end."""
        self._send(
            "RELOADING=1",
            f"MONOTONIC_USEC={time.monotonic_ns() // 1000}",
            timeout=_SEND_SECONDS,
        )

    def stopping(self, status: str, *, max_seconds: float) -> None:
        """Report the start of the stop, and extend TimeoutStopSec= if it is shorter."""
        self._send(
            "STOPPING=1",
            f"STATUS={status}",
            f"EXTEND_TIMEOUT_USEC={round(max_seconds * 1_000_000)}",
            timeout=_SEND_SECONDS,
        )

    def close(self) -> None:
        """Stop the keep-alive messages."""
        if self._keep_alive_timer is not None:
            self._keep_alive_timer.cancel()

    def _keep_alive(self) -> None:
        self._send("WATCHDOG=1")
        loop = asyncio.get_running_loop()
        self._keep_alive_timer = loop.call_later(
            max(self._watchdog_seconds / _KEEP_ALIVES, _MIN_KEEP_ALIVE_SECONDS), self._keep_alive
        )

    def _send(self, *assignments: str, timeout: float = 0.0) -> None:
        if not self._address:
            return
        # "@" represents the NUL of the abstract namespace.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        # The service runs on even if systemd cannot be notified.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(timeout)
            sender.sendto("\n".join(assignments).encode(), address)


def _sockets(environ: Mapping[str, str]) -> Sequence[socket.socket]:
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return ()  # they are for another process
    return [
        _listening(_FIRST_DESCRIPTOR + number) for number in range(_number(environ, "LISTEN_FDS"))
    ]


def _listening(descriptor: int) -> socket.socket:
    try:
        taken = socket.socket(fileno=descriptor)
        listens = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SystemdError(
            f"LISTEN_FDS: {descriptor} is not a socket ({error.strerror})."
        ) from None
    if not listens or taken.type != socket.SOCK_STREAM:
        raise SystemdError(f"LISTEN_FDS: {descriptor} is not a listening stream socket.")
    if taken.family not in {socket.AF_INET, socket.AF_INET6}:
        raise SystemdError(
            f"LISTEN_FDS: {descriptor} is not a TCP socket: its peers have no IP address."
        )
    taken.settimeout(0)
    taken.set_inheritable(False)
    return taken


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name) or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < _MAX_DIGITS):
        raise SystemdError(f"{name} is not a number.")
    return int(text)

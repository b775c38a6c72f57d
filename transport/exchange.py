"""One request and its response, as Tornado's handlers see them."""

import time
from collections.abc import Callable
from typing import Protocol

from tornado.httputil import HTTPConnection
from tornado.iostream import IOStream

from rules.errors import Problem


class Peer(Protocol):
    """The connection of an exchange, with the attributes of the client that Tornado reads."""

    remote_ip: str
    protocol: str

    @property
    def is_lost(self) -> bool:
        """Return whether the client has disconnected."""

    @property
    def has_received_more(self) -> bool:
        """Return whether a part of the next request has arrived."""

    def end_exchange(
        self, exchange: "Exchange", head: bytes, content: bytes, *, closes: bool
    ) -> None:
        """Send the response of the current exchange, and then await the next request or close."""


class Exchange(HTTPConnection):
    """A request whose response is pending; Tornado calls it the connection of the request."""

    def __init__(self, peer: Peer, *, keeps_open: bool, problem: Problem | None = None) -> None:
        """Begin; ``problem`` is why the head is rejected, ``keeps_open`` what the client asks."""
        # Tornado reads the IP address and the protocol of the client from this attribute.
        self.context = peer
        self.keeps_open = keeps_open
        self.problem = problem
        self.is_body_too_large = False
        self.began_at = time.monotonic()
        self.on_disconnect: Callable[[], None] | None = None
        self._is_answered = False

    @property
    def is_disconnected(self) -> bool:
        """Return whether the client has disconnected."""
        return self.context.is_lost

    @property
    def has_successor(self) -> bool:
        """Return whether a part of the next request has arrived on the same connection."""
        return self.context.has_received_more

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Call back when the client disconnects before the response; handlers set this."""
        self.on_disconnect = callback

    def respond(self, head: bytes, content: bytes, *, closes: bool) -> None:
        """Send the response."""
        if self._is_answered:
            raise RuntimeError("A request has one response.")
        self._is_answered = True
        self.on_disconnect = None
        self.context.end_exchange(self, head, content, closes=closes)

    def detach(self) -> IOStream | None:
        """Return no stream; Tornado calls this when a handler has written its response itself."""
        return None

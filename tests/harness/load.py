"""Requests from several connections at once, each outcome counted."""

import ssl
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Self

import httpx

_WAIT_SECONDS = 60


class Load:
    """Sends requests during the block. Half of its threads use a new connection for each."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        threads: int = 8,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self._url = url
        self._headers = headers
        self._tls = tls
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._send, args=[number % 2 == 0]) for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int = 200) -> None:
        """Wait until that many more requests have ended."""
        wanted = self.outcomes.total() + count
        deadline = time.monotonic() + _WAIT_SECONDS
        while self.outcomes.total() < wanted:
            assert time.monotonic() < deadline, self.outcomes
            time.sleep(0.02)

    def _send(self, is_keep_alive: bool) -> None:  # noqa: FBT001 - threads pass by position
        limits = httpx.Limits() if is_keep_alive else httpx.Limits(max_keepalive_connections=0)
        verify = self._tls or False
        with httpx.Client(
            headers=self._headers, limits=limits, timeout=30, verify=verify
        ) as client:
            while not self._stopping.is_set():
                try:
                    outcome = str(client.get(self._url).status_code)
                except httpx.HTTPError as error:
                    outcome = repr(error)
                with self._lock:
                    self.outcomes[outcome] += 1

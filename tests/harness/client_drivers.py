"""A common synchronous interface to both clients, for tests that run with each."""

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, Self

from userauth_client import AsyncUserAuthClient, Token, UserAuthClient

Renew = Callable[[], Token | str]


class DrivenClient:
    """A sync or async client; every call blocks until it returns or raises."""

    def __init__(self, client: Any, driver: "Driver") -> None:
        self.client = client
        self._driver = driver

    def __repr__(self) -> str:
        return repr(self.client)

    def with_token(self, token: Token | str, *, renew: Renew | None = None) -> Self:
        wrapped = None if renew is None else self._driver.wrap(renew)
        return type(self)(self.client.with_token(token, renew=wrapped), self._driver)

    def with_password(self, email: str, password: str) -> Self:
        return type(self)(self.client.with_password(email, password), self._driver)

    def with_service(self, client_id: str, secret: str) -> Self:
        return type(self)(self.client.with_service(client_id, secret), self._driver)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        return functools.partial(self._driver.run, method) if callable(method) else method


class Driver(Protocol):
    """Opens clients and runs their calls."""

    def open(self, url: str, *, renew: Renew | None = None, **options: Any) -> DrivenClient:
        """Return a client; close() closes it."""

    def wrap(self, renew: Renew) -> Any:
        """Return a renewal callback of the type that the client expects."""

    def run(self, method: Any, *arguments: Any, **named: Any) -> Any:
        """Call a method of a client and return its result."""

    def run_concurrently(self, methods: Sequence[Any]) -> list[Any]:
        """Call methods at the same time; return their results and exceptions."""

    def close(self) -> None:
        """Close the clients."""


class SyncDriver:
    """Runs UserAuthClient; concurrent calls run in threads."""

    def __init__(self) -> None:
        self._opened: list[UserAuthClient] = []

    def open(self, url: str, *, renew: Renew | None = None, **options: Any) -> DrivenClient:
        self._opened.append(UserAuthClient(url, renew=renew, **options))
        return DrivenClient(self._opened[-1], self)

    def wrap(self, renew: Renew) -> Renew:
        return renew

    def run(self, method: Any, *arguments: Any, **named: Any) -> Any:
        return method(*arguments, **named)

    def run_concurrently(self, methods: Sequence[Any]) -> list[Any]:
        with ThreadPoolExecutor(len(methods)) as threads:
            running = [threads.submit(method) for method in methods]
        return [call.exception() or call.result() for call in running]

    def close(self) -> None:
        for client in self._opened:
            client.close()


class AsyncDriver:
    """Runs AsyncUserAuthClient on its own event loop."""

    def __init__(self) -> None:
        self._opened: list[AsyncUserAuthClient] = []
        self._runner = asyncio.Runner()

    def open(self, url: str, *, renew: Renew | None = None, **options: Any) -> DrivenClient:
        wrapped = None if renew is None else self.wrap(renew)
        self._opened.append(AsyncUserAuthClient(url, renew=wrapped, **options))
        return DrivenClient(self._opened[-1], self)

    def wrap(self, renew: Renew) -> Any:
        async def renew_in_a_thread() -> Token | str:
            return await asyncio.to_thread(renew)

        return renew_in_a_thread

    def run(self, method: Any, *arguments: Any, **named: Any) -> Any:
        async def call() -> Any:
            return await method(*arguments, **named)

        return self._runner.run(call())

    def run_concurrently(self, methods: Sequence[Any]) -> list[Any]:
        async def gather() -> list[Any]:
            return await asyncio.gather(*(method() for method in methods), return_exceptions=True)

        return self._runner.run(gather())

    def close(self) -> None:
        for client in self._opened:
            self.run(client.close)
        self._runner.close()


DRIVERS: tuple[Callable[[], Driver], ...] = (SyncDriver, AsyncDriver)


EMAIL = "susan@example.com"

"""Both clients, used by a test in one way: each call returns its result, or raises."""

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, Self

from userauth_client import AsyncUserAuthClient, Token, UserAuthClient

Renew = Callable[[], Token | str]


class Driven:
    """A client of either flavour whose calls are driven to their end."""

    def __init__(self, client: Any, flavour: "Flavour") -> None:
        self.client = client
        self._flavour = flavour

    def __repr__(self) -> str:
        return repr(self.client)

    def with_token(self, token: Token | str, *, renew: Renew | None = None) -> Self:
        wrapped = None if renew is None else self._flavour.wrap(renew)
        return type(self)(self.client.with_token(token, renew=wrapped), self._flavour)

    def with_password(self, email: str, password: str) -> Self:
        return type(self)(self.client.with_password(email, password), self._flavour)

    def with_service(self, client_id: str, secret: str) -> Self:
        return type(self)(self.client.with_service(client_id, secret), self._flavour)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        return functools.partial(self._flavour.drive, method) if callable(method) else method


class Flavour(Protocol):
    """Opens clients and drives their calls."""

    def open(self, url: str, *, renew: Renew | None = None, **options: Any) -> Driven:
        """Return a client, which is closed at the end of the test."""

    def wrap(self, renew: Renew) -> Any:
        """Return a callback that the client takes."""

    def drive(self, method: Any, *arguments: Any, **named: Any) -> Any:
        """Make a call."""

    def at_once(self, methods: Sequence[Any]) -> list[Any]:
        """Make calls without arguments at the same time; return results, and errors as well."""

    def close(self) -> None:
        """Close the clients."""


class SyncFlavour:
    """Drives UserAuthClient, from many threads where calls come at once."""

    def __init__(self) -> None:
        self._opened: list[UserAuthClient] = []

    def open(self, url: str, *, renew: Renew | None = None, **options: Any) -> Driven:
        self._opened.append(UserAuthClient(url, renew=renew, **options))
        return Driven(self._opened[-1], self)

    def wrap(self, renew: Renew) -> Renew:
        return renew

    def drive(self, method: Any, *arguments: Any, **named: Any) -> Any:
        return method(*arguments, **named)

    def at_once(self, methods: Sequence[Any]) -> list[Any]:
        with ThreadPoolExecutor(len(methods)) as threads:
            running = [threads.submit(method) for method in methods]
        return [one.exception() or one.result() for one in running]

    def close(self) -> None:
        for client in self._opened:
            client.close()


class AsyncFlavour:
    """Drives AsyncUserAuthClient on a loop of its own."""

    def __init__(self) -> None:
        self._opened: list[AsyncUserAuthClient] = []
        self._runner = asyncio.Runner()

    def open(self, url: str, *, renew: Renew | None = None, **options: Any) -> Driven:
        wrapped = None if renew is None else self.wrap(renew)
        self._opened.append(AsyncUserAuthClient(url, renew=wrapped, **options))
        return Driven(self._opened[-1], self)

    def wrap(self, renew: Renew) -> Any:
        async def renew_in_a_thread() -> Token | str:
            return await asyncio.to_thread(renew)

        return renew_in_a_thread

    def drive(self, method: Any, *arguments: Any, **named: Any) -> Any:
        async def call() -> Any:
            return await method(*arguments, **named)

        return self._runner.run(call())

    def at_once(self, methods: Sequence[Any]) -> list[Any]:
        async def gather() -> list[Any]:
            return await asyncio.gather(*(method() for method in methods), return_exceptions=True)

        return self._runner.run(gather())

    def close(self) -> None:
        for client in self._opened:
            self.drive(client.close)
        self._runner.close()


FLAVOURS: tuple[Callable[[], Flavour], ...] = (SyncFlavour, AsyncFlavour)

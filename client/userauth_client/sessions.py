"""Whose credentials a client presents, and how a refused token is renewed once for all.

A call remembers what it presented. Where that is refused, the first call that gets the lock renews;
those behind it find that something else is held now, and use it. They share a failure, too: fifty
calls must not be fifty log-ins with a password that is no longer good.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from userauth_client import arguments
from userauth_client.answers import Token
from userauth_client.calls import Call, Presents

Renew = Callable[[], Token | str]
AsyncRenew = Callable[[], Awaitable[Token | str]]
RenewType = TypeVar("RenewType")


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What a client presents; told from another by identity."""

    authorization: str | None = field(default=None, repr=False)
    # What the attempt to renew it ended with.
    failure: Exception | None = field(default=None, repr=False)


class Session(Generic[RenewType]):
    """What a client presents, now; shared by all its calls."""

    def __init__(self, authorization: str | None, renew: RenewType | None = None) -> None:
        self._renew = renew
        self._current = Held(authorization)
        self._is_by_password = (authorization or "").startswith("Basic ")
        self._is_over = False
        self._renewer: object = None

    @property
    def held(self) -> Held:
        """Return what to present."""
        return Held() if self._is_over else self._current

    def end(self) -> None:
        """Forget the token after a log-out, which no renewal may undo; a password stays good."""
        self._is_over = not self._is_by_password

    def may_renew(self, call: Call[object]) -> bool:
        """Tell whether to renew what a call was refused with.

        Not for a call that the renewal itself makes: it would wait for itself.
        """
        if self._renew is None or self._is_over or self._renewer == self._asker():
            return False
        return call.renews and call.presents is Presents.CLIENT

    def _asker(self) -> object:
        """Return what tells the thread or the task that runs from others."""
        raise NotImplementedError

    def _fail(self, error: Exception) -> None:
        self._current = Held(self._current.authorization, error)

    def _settled(self) -> Held:
        """Return what came of a renewal; raises what it raised."""
        held = self.held
        if held.failure is not None:
            raise held.failure
        return held


class SyncSession(Session[Renew]):
    """Shared by threads."""

    def __init__(self, authorization: str | None, renew: Renew | None = None) -> None:
        super().__init__(authorization, renew)
        self._lock = threading.Lock()

    def renewed(self, refused: Held) -> Held:
        """Return what to present instead; raises what the callback raises."""
        with self._lock:
            if self._current is refused and self._renew is not None:
                self._renewer = self._asker()
                try:
                    self._current = Held(arguments.bearer(self._renew()))
                except Exception as error:
                    self._fail(error)
                    raise
                finally:
                    self._renewer = None
        return self._settled()

    def _asker(self) -> object:
        return threading.get_ident()


class AsyncSession(Session[AsyncRenew]):
    """Shared by the tasks of one event loop."""

    def __init__(self, authorization: str | None, renew: AsyncRenew | None = None) -> None:
        super().__init__(authorization, renew)
        self._lock = asyncio.Lock()

    async def renewed(self, refused: Held) -> Held:
        """Return what to present instead; raises what the callback raises."""
        async with self._lock:
            if self._current is refused and self._renew is not None:
                self._renewer = self._asker()
                try:
                    self._current = Held(arguments.bearer(await self._renew()))
                except Exception as error:
                    self._fail(error)
                    raise
                finally:
                    self._renewer = None
        return self._settled()

    def _asker(self) -> object:
        return asyncio.current_task()

"""The credentials of a client, and the renewal of a rejected token.

A call remembers the credential that it sent. If the server rejects it, the first call that gets the
lock renews it; the calls that wait for it find a new credential and use that. They also share a
failure: fifty calls must not become fifty logins with a password that is no longer valid.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from userauth_client import arguments
from userauth_client.calls import AuthMode, Call
from userauth_client.models import Token

Renew = Callable[[], Token | str]
AsyncRenew = Callable[[], Awaitable[Token | str]]
RenewType = TypeVar("RenewType")


@dataclass(frozen=True, slots=True, eq=False)
class Credential:
    """The Authorization header of a client; compared by identity."""

    authorization: str | None = field(default=None, repr=False)
    # The exception that the last attempt to renew it raised.
    failure: Exception | None = field(default=None, repr=False)


class CredentialProvider(Generic[RenewType]):
    """Provides the current credential to all calls of a client."""

    def __init__(self, authorization: str | None, renew: RenewType | None = None) -> None:
        self._renew = renew
        self._current = Credential(authorization)
        self._uses_password = (authorization or "").startswith("Basic ")
        self._is_logged_out = False
        self._renewer: object = None

    @property
    def current(self) -> Credential:
        """Return the credential to send."""
        return Credential() if self._is_logged_out else self._current

    def log_out(self) -> None:
        """Discard a revoked token, which no renewal may replace; a password stays valid."""
        self._is_logged_out = not self._uses_password

    def may_renew(self, call: Call[object]) -> bool:
        """Return whether to renew the credential that the server rejected.

        False for a call from inside the renewal, which would wait for itself.
        """
        if self._renew is None or self._is_logged_out or self._renewer == self._current_runner():
            return False
        return call.renews and call.auth_mode is AuthMode.CLIENT

    def _current_runner(self) -> object:
        """Return an object that identifies the current thread or task."""
        raise NotImplementedError

    def _fail(self, error: Exception) -> None:
        self._current = Credential(self._current.authorization, error)

    def _renewed(self) -> Credential:
        """Return the renewed credential; raises the exception of a failed renewal."""
        credential = self.current
        if credential.failure is not None:
            raise credential.failure
        return credential


class SyncCredentialProvider(CredentialProvider[Renew]):
    """Shared by threads."""

    def __init__(self, authorization: str | None, renew: Renew | None = None) -> None:
        super().__init__(authorization, renew)
        self._lock = threading.Lock()

    def renew(self, rejected: Credential) -> Credential:
        """Return the credential that replaces a rejected one; raises what the callback raises."""
        with self._lock:
            if self._current is rejected and self._renew is not None:
                self._renewer = self._current_runner()
                try:
                    self._current = Credential(arguments.bearer(self._renew()))
                except Exception as error:
                    self._fail(error)
                    raise
                finally:
                    self._renewer = None
        return self._renewed()

    def _current_runner(self) -> object:
        return threading.get_ident()


class AsyncCredentialProvider(CredentialProvider[AsyncRenew]):
    """Shared by the tasks of one event loop."""

    def __init__(self, authorization: str | None, renew: AsyncRenew | None = None) -> None:
        super().__init__(authorization, renew)
        self._lock = asyncio.Lock()

    async def renew(self, rejected: Credential) -> Credential:
        """Return the credential that replaces a rejected one; raises what the callback raises."""
        async with self._lock:
            if self._current is rejected and self._renew is not None:
                self._renewer = self._current_runner()
                try:
                    self._current = Credential(arguments.bearer(await self._renew()))
                except Exception as error:
                    self._fail(error)
                    raise
                finally:
                    self._renewer = None
        return self._renewed()

    def _current_runner(self) -> object:
        return asyncio.current_task()

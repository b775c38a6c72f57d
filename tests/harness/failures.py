"""Failures that a test injects."""

from collections.abc import Awaitable, Callable


def raising(error: Exception) -> Callable[..., Awaitable[None]]:
    async def fail(*_: object, **__: object) -> None:
        raise error

    return fail

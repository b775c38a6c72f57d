"""Whether the server can serve requests."""

import asyncio
import uuid

from db.errors import Unavailable
from db.lookups import Lookups
from rules.errors import DatabaseUnavailable
from services.transactions import result_of

_TIMEOUT_SECONDS = 1.0
_NO_TOKEN = str(uuid.UUID(int=0))


class Readiness:
    """Checks that Postgres responds, with a lookup like those of requests."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def check_ready(self) -> None:
        """Raise DatabaseUnavailable unless Postgres responds within a second."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await result_of(self._lookups.users_of_tokens.find(_NO_TOKEN))
        except TimeoutError:
            late = Unavailable(f"Postgres did not answer within {_TIMEOUT_SECONDS:g} s")
            raise DatabaseUnavailable from late

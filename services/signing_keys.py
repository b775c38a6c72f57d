"""The rotation of the signing keys in a file."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from db import tokens, user_messages
from rules.keys import add_key, read_keys, remove_keys
from rules.origin import LocalOrigin
from rules.tokens import key_id
from services.core import Core
from services.event_kinds import EventKind
from services.transactions import connection_to


class SigningKeys:
    """Adds and retires signing keys, with an event for each."""

    def __init__(self, core: Core, origin: LocalOrigin) -> None:
        self._core = core
        self._origin = origin

    async def find_in_use(self) -> dict[str | None, datetime]:
        """Return when the last valid token or message of each key expires.

        None is an unknown key.
        """
        now = self._core.now()
        async with connection_to(self._core.database) as connection:
            in_use = await tokens.find_keys_in_use(connection, at=now)
            of_messages = await user_messages.find_keys_in_use(connection, at=now)
        for key, until in of_messages.items():
            in_use[key] = max(until, in_use.get(key, until))
        return in_use

    async def add(self, file: Path) -> str:
        """Insert a new key at the top of a file; return its id."""
        added = key_id(add_key(file))
        await self._core.audit.record(EventKind.KEY_ADDED, self._origin, key_id=added)
        return added

    async def retire(self, file: Path) -> Sequence[str]:
        """Remove keys that no valid token or message needs, except the newest; return the ids."""
        _newest, *older = read_keys(file)
        in_use = await self.find_in_use()
        # None: tokens issued before the server recorded the key; any key may have signed them.
        retired = [] if None in in_use else [key for key in older if key_id(key) not in in_use]
        if retired:
            remove_keys(file, retired)
        ids = [key_id(key) for key in retired]
        for each in ids:
            await self._core.audit.record(EventKind.KEY_RETIRED, self._origin, key_id=each)
        return ids

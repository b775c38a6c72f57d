"""The other servers on the same database: their schema, and the settings that all must share."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from db.errors import ServerTooOld
from db.pool import Database
from db.schema_state import get_state, store_settings
from db.schema_version import too_old
from ops.logs import SERVER

LOOK_SECONDS = 5.0
# A server replaces digests of this age that differ from its own. Two servers that differ therefore
# take turns, and each sees the digests of the other; those of a stopped server are replaced once.
TURN = timedelta(seconds=60)
# How long a difference counts after it was last seen: longer than the turns of two servers.
_MEMORY = timedelta(seconds=150)

SettingDigests = Mapping[str, str]


class Peers:
    """Compares the state that the servers on a database share.

    ``clock`` returns UTC seconds, ``digests`` the digests of this server's settings by name. After
    a newer server has migrated the database to a schema that this one must not use, it uses no
    connection again.
    """

    def __init__(
        self, database: Database, clock: Callable[[], float], digests: Callable[[], SettingDigests]
    ) -> None:
        self._database = database
        self._clock = clock
        self._digests = digests
        self._differing: Sequence[str] = ()
        self._since = self._seen = self._now()
        self._has_warned = False

    @property
    def differing(self) -> Sequence[str]:
        """Return the names of settings that another server has with other values."""
        return self._differing

    async def look(self) -> float:
        """Read the shared state; return in how many seconds to do so again.

        Raises DatabaseError: ServerTooOld if this server must not run beside the newest one.
        """
        async with self._database.connection() as connection:
            state = await get_state(connection)
            if reason := too_old(state.version, state.compatible_since):
                raise ServerTooOld(reason)
            own, now = self._digests(), self._now()
            is_current = state.settings_at is not None and now - state.settings_at <= TURN
            if state.settings != own and not is_current:
                await store_settings(connection, own, at=now, before=state)
        if is_current and (names := _differing(own, state.settings or {})):
            self._see(names)
        elif self._now() - self._seen > _MEMORY:
            self._differing, self._has_warned = (), False
        return LOOK_SECONDS

    def _see(self, names: Sequence[str]) -> None:
        """Note a difference, and log it once it has lasted longer than one turn.

        A difference that ends in its first turn is that of a server that was stopped or restarted.
        """
        now = self._now()
        if not self._differing:
            self._since = now
        self._differing, self._seen = names, now
        if not self._has_warned and now - self._since > TURN:
            self._has_warned = True
            logging.getLogger(SERVER).warning(
                "another server on this database has other values of %s: give all servers the same",
                ", ".join(names),
            )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _differing(own: SettingDigests, others: SettingDigests) -> Sequence[str]:
    """Return the names whose digests differ, without those of settings that one version lacks."""
    return [name for name in sorted(own.keys() & others.keys()) if own[name] != others[name]]

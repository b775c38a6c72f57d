"""The one row of userauth_schema, which all servers on a database read every few seconds.

It contains the version of the schema, the earliest version of a server that may use it, and digests
of the settings that all servers must share, which one of them stored.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from db.pool import Connection


@dataclass(frozen=True, slots=True)
class SchemaStateRow:
    """The state of the schema, and the digests of settings by name; None if there are none."""

    version: int
    compatible_since: int
    settings: Mapping[str, str] | None
    settings_at: datetime | None


_FIND = "SELECT version, compatible_since, settings, settings_at FROM userauth_schema"
# The condition preserves digests that another server has stored since the row was read.
_STORE = """
UPDATE userauth_schema
SET settings = %(settings)s, settings_at = %(at)s
WHERE settings_at IS NOT DISTINCT FROM %(before)s
"""


async def get_state(connection: Connection) -> SchemaStateRow:
    """Return the state of the schema; raises LookupError."""
    row = await connection.fetch_one(_FIND)
    if row is None:
        raise LookupError("userauth_schema has no row.")
    version, compatible_since, settings, at = row
    return SchemaStateRow(version, compatible_since, settings and json.loads(settings), at)


async def store_settings(
    connection: Connection,
    settings: Mapping[str, str],
    *,
    at: datetime,
    before: SchemaStateRow,
) -> None:
    """Store digests of settings, unless the state has changed since it was read."""
    parameters = {"settings": json.dumps(settings), "at": at, "before": before.settings_at}
    await connection.execute(_STORE, parameters)

"""The state and the settings of the cluster that put commits, or committed data, at risk."""

from db.acknowledgements import find_acknowledgement_risks
from db.connection import Connection
from db.waiting_sessions import find_waiting_risk

_FIND_SETTINGS = "SELECT current_setting('fsync'), current_setting('full_page_writes')"
_FSYNC = (
    "fsync is off in Postgres: after a crash of its machine, revoked tokens can be valid again, and"
    " the whole database can be lost. Set fsync = on."
)
_FULL_PAGE_WRITES = (
    "full_page_writes is off in Postgres: a crash of its machine can damage the database. Set"
    " full_page_writes = on."
)


async def find_risks(
    connection: Connection, *, acknowledged: bool, late_seconds: float
) -> list[str]:
    """Return a warning for each setting that lets a crash or a failover undo a revocation.

    Sessions that have waited for a standby for longer than ``late_seconds`` are a warning, too.
    Raises NotAcknowledged if lookups must be ``acknowledged``, but no standby has to acknowledge.
    """
    row = await connection.fetch_one(_FIND_SETTINGS) or ("on", "on")
    sentences = zip(row, (_FSYNC, _FULL_PAGE_WRITES), strict=True)
    risks = [sentence for value, sentence in sentences if value == "off"]
    if acknowledged:
        risks += await find_acknowledgement_risks(connection)
    return risks + await find_waiting_risk(connection, late_seconds)

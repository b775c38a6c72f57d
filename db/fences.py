"""Fences: checks in each lookup that its rows are those of our primary.

A fence is an expression that Postgres evaluates once for each statement, even if it finds no row:
an empty result of a standby, which may lack the newest rows, must not be mistaken for one of the
primary. Its value is ``open`` if the result may be used, otherwise the reason why not.
"""

from db.errors import NotAcknowledged, ReadOnly, ServerTooOld, Unavailable
from db.schema_version import VERSION, too_old

OPEN = "open"
# The order matters, since a standby cannot write the message of an acknowledged lookup. Each lookup
# reads userauth_schema: a migration that locks that table does so last.
_FENCE = """
    CASE
        WHEN pg_is_in_recovery() THEN 'standby'
        WHEN (SELECT compatible_since FROM userauth_schema) > {version}
        THEN (SELECT concat('newer ', version, ' ', compatible_since) FROM userauth_schema)
        {further}
        ELSE 'open'
    END
"""
# Behind a pooler, statements of one connection may reach a new primary, and the one it replaced.
_SAME_PRIMARY = """
        WHEN substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) <> '{timeline:08X}'
        THEN 'replaced'
"""
# The message makes the lookup a transaction that commits, and that a standby has to acknowledge
# like a write: a primary that was replaced gets no acknowledgement, and never answers.
_ACKNOWLEDGED = """
        WHEN current_setting('synchronous_standby_names') = '' THEN 'unacknowledged'
        WHEN pg_logical_emit_message(true, 'userauth', '') IS NULL THEN 'unacknowledged'
"""


def fenced(sql: str, *, acknowledged: bool = False, timeline: int | None = None) -> str:
    """Return a query whose rows begin with the fence; it returns at least one row.

    With a ``timeline``, the fence is open on that timeline only. An acknowledged lookup needs none:
    a primary that was replaced gets no acknowledgement.
    """
    further = ""
    if acknowledged:
        further = _ACKNOWLEDGED
    elif timeline is not None:
        further = _SAME_PRIMARY.format(timeline=timeline)
    # Postgres evaluates a subquery with volatile functions, whether its column is used or not.
    return f"""
SELECT fence.state, found.*
FROM (SELECT {_FENCE.format(version=VERSION, further=further)}) AS fence (state)
LEFT JOIN ({sql}) AS found ON true
"""  # noqa: S608 - our own statements


def refusal(state: str) -> Unavailable:
    """Return the error for the value of a fence that is not open."""
    reason, *versions = state.split()
    if reason == "newer":
        return ServerTooOld(too_old(*map(int, versions)) or "")
    if reason == "unacknowledged":
        return NotAcknowledged()
    return ReadOnly("Postgres was replaced" if reason == "replaced" else "Postgres is a standby")

"""What a lookup asks of Postgres besides its rows, so that no outdated ones count.

A fence is an expression that Postgres evaluates once for each statement, also if it finds no row:
an empty result of a standby, which may lack the newest rows, must not be taken for one of the
primary. It is false if the result counts, true on a standby, and null if no standby acknowledges.
"""

_PRIMARY = "pg_is_in_recovery()"
# Behind a pooler, statements of one connection may reach a new primary, and the one it replaced.
_SAME_PRIMARY = """
    CASE
        WHEN pg_is_in_recovery() THEN true
        ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) <> '{timeline:08X}'
    END
"""
# The message makes the lookup a transaction that commits, and that a standby has to acknowledge as
# it acknowledges a write: a primary that was replaced gets no acknowledgement, and never answers.
# The order matters, since a standby cannot write the message.
_ACKNOWLEDGED = """
    CASE
        WHEN pg_is_in_recovery() THEN true
        WHEN current_setting('synchronous_standby_names') <> ''
        THEN pg_logical_emit_message(true, 'userauth', '') IS NULL
    END
"""


def fenced(sql: str, *, acknowledged: bool = False, timeline: int | None = None) -> str:
    """Return a query whose rows begin with the fence; it returns at least one.

    With a ``timeline``, the result counts on that one only.
    """
    fence = _PRIMARY if timeline is None else _SAME_PRIMARY.format(timeline=timeline)
    if acknowledged:
        fence = _ACKNOWLEDGED
    # Postgres evaluates a subquery with volatile functions, whether its column is used or not.
    return f"""
SELECT fence.is_closed, found.*
FROM (SELECT {fence}) AS fence (is_closed)
LEFT JOIN ({sql}) AS found ON true
"""  # noqa: S608 - our own statements

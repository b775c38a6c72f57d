"""What the administrator should do about a Postgres that cannot be used.

``{setting}`` in an advice stands for the name of the setting that has the DSN.
"""

from collections.abc import Iterable

# Parts of messages of Postgres and PgBouncer in English; those of Postgres are in its lc_messages.
# Of their limits of connections:
_EXHAUSTED = ("too many c", "remaining connection slots", "no more connections allowed")
# Of Postgres while it starts, stops or recovers:
_NOT_YET = "the database system is "
# Of a role, a password, a database or an encryption that it does not accept, also by libpq:
_WRONG = (
    "authentication failed",
    "does not exist",
    "pg_hba.conf",
    "SSL",
    "certificate",
    "no password supplied",
    "not permitted to log in",
    "permission denied for",
    "no such ",
)
_CHECK = "Check {setting}."
CHECK_AND_START = "Check {setting}, and that Postgres is running."
NAME_PRIMARY = "Name the primary in {setting}."
# One sentence in place of two about different hosts.
_MERGED = {
    frozenset({_CHECK, CHECK_AND_START}): CHECK_AND_START,
    frozenset({NAME_PRIMARY, CHECK_AND_START}): (
        "Name the primary in {setting}, and check that it is running."
    ),
}


def advice_about(reason: str) -> str:
    """Return the advice about a connection that Postgres or libpq rejected for a reason."""
    if any(part in reason for part in _EXHAUSTED):
        return "Raise the limit of connections, or lower database.pool_max."
    if _NOT_YET in reason:
        return "Try again when Postgres accepts connections."
    if any(part in reason for part in _WRONG):
        return _CHECK
    return "If Postgres is neither starting nor out of connections, check {setting}."


def joined(advice: Iterable[str]) -> str:
    """Return the advice about several hosts as one text, without what another part says."""
    parts = list(dict.fromkeys(advice))
    for pair, merged in _MERGED.items():
        if pair.issubset(parts):
            parts = [*(each for each in parts if each not in pair), merged]
    return " ".join(parts)

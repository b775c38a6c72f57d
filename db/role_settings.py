"""Sessions that a pooler in transaction mode shares: their settings come from the role.

A setting of one connection would affect other connections in the same session, and be lost in the
next session. A connection therefore sets nothing: it checks that the defaults of the role are
correct, and that no client has changed them in the session.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from db.errors import RoleSettingsMissing
from db.rows import Row
from db.session_settings import FIND_SEARCH_PATH, StatementTimeouts, check_primary

# The settings in milliseconds: 0 would be no limit.
_LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout")
# The accepted values of the others; the first is the recommended one. db/session_settings.py has
# the reasons. A debug message at COMMIT would be mistaken for a warning.
_CHOICES = {
    "synchronous_commit": ("on", "remote_apply"),
    "default_transaction_isolation": ("read committed",),
    "TimeZone": ("UTC", "Etc/UTC"),
    "array_nulls": ("on",),
    "client_min_messages": ("warning", "notice"),
    "transaction_timeout": ("0",),
}
_NAMES = (*_LIMITS, "search_path", *_CHOICES)
CHECK_SESSION = f"""
SELECT
    pg_catalog.pg_is_in_recovery(),
    pg_catalog.current_setting('transaction_read_only') OPERATOR(pg_catalog.=) 'on',
    pg_catalog.quote_ident(session_user),
    pg_catalog.quote_ident(pg_catalog.current_database()),
    ARRAY(
        SELECT ARRAY[name, setting, reset_val]
        FROM pg_catalog.pg_settings
        WHERE name OPERATOR(pg_catalog.=) ANY (%(names)s::pg_catalog.text[])
    ),
    {FIND_SEARCH_PATH}
"""
# The settings that durability and isolation depend on are also set in each transaction, in case a
# role loses its defaults while its sessions are in use.
BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT
    pg_catalog.set_config('search_path', %(search_path)s, true),
    pg_catalog.set_config(
        'synchronous_commit',
        CASE
            WHEN pg_catalog.current_setting('synchronous_commit')
                OPERATOR(pg_catalog.=) 'remote_apply'
            THEN 'remote_apply'
            ELSE 'on'
        END,
        true
    )
"""
# With quote_all_identifiers, Postgres quotes each name.
_IDENTIFIER = re.compile(r'"((?:[^"]|"")+)"|([^\s,"]+)')
CHECK_PARAMETERS: Mapping[str, list[str]] = {"names": list(_NAMES)}


@dataclass(frozen=True, slots=True)
class _Setting:
    """A setting in a session: its value, and that to which RESET returns."""

    name: str
    value: str
    default: str


def unprepared(sql: str, key_type: str, search_path: str) -> str:
    """Return the statements to send in place of a prepared query: one transaction each time.

    As with a prepared plan, no table is read as a whole. A lookup that must be acknowledged needs
    synchronous_commit.
    """
    setup = (
        "SET LOCAL enable_seqscan = off; SET LOCAL jit = off; SET LOCAL synchronous_commit = on;"
        f" SET LOCAL search_path = {search_path}; {sql}"
    )
    return setup.replace("%", "%%").replace("$1", f"%s::{key_type}[]")


def read_shared_session(row: Row, host: str, timeouts: StatementTimeouts) -> str:
    """Return the search_path of the role.

    Raises ReadOnly if the host is not a primary that accepts writes, SchemaError if the role has
    no schema, and RoleSettingsMissing with statements that set the missing settings.
    """
    is_standby, is_read_only, role, database, settings, search_path = row
    check_primary(host, search_path, is_standby=is_standby, is_read_only=is_read_only)
    wrong = _wrong([_Setting(*each) for each in settings], timeouts, search_path)
    if statements := [
        f"ALTER ROLE {role} IN DATABASE {database} SET {name} = {value};" for name, value in wrong
    ]:
        raise RoleSettingsMissing(" ".join(statements))
    return str(search_path)


def _wrong(
    settings: Sequence[_Setting], timeouts: StatementTimeouts, search_path: str
) -> Iterator[tuple[str, str]]:
    """Yield each setting that is wrong in the session, or by default, and its value in SQL."""
    limits = dict(
        zip(_LIMITS, (timeouts.statement, timeouts.statement, timeouts.lock), strict=True)
    )
    for setting in sorted(settings, key=lambda each: _NAMES.index(each.name)):
        values = {setting.value, setting.default}
        if setting.name in limits:
            limit = limits[setting.name]
            if not all(0 < int(value) <= limit for value in values):
                yield setting.name, f"'{limit}ms'"
        elif setting.name == "search_path":
            if any(_identifiers(value) != _identifiers(search_path) for value in values):
                yield setting.name, search_path
        elif not values.issubset(_CHOICES[setting.name]):
            yield setting.name, f"'{_CHOICES[setting.name][0]}'"


def _identifiers(search_path: str) -> list[str]:
    """Return the schemas in a search_path, to compare them: a quote in a name stays doubled."""
    return [quoted or plain.lower() for quoted, plain in _IDENTIFIER.findall(search_path)]

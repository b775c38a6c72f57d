"""Backups that tests make, and databases with every kind of row."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from db.schema import TABLES
from tests.harness.command_line import manage
from tests.harness.sql import run_sql

_numbers = itertools.count()
# Text that COPY must escape, and text that resembles its end.
AWKWARD = "tab\there, line\nend\r\n\\.\n\\N 'quoted' \"twice\" ж 😀 \\"
EVERYTHING = """
INSERT INTO users (id, email, email_key, name, password_hash, password_version, disabled_at)
VALUES
    ('00000000-0000-0000-0000-000000000001', 'A@example.com', 'a@example.com', %(awkward)s,
        '$a hash', 7, NULL),
    ('00000000-0000-0000-0000-000000000002', 'b@example.com', 'b@example.com', NULL,
        %(awkward)s, 1, '2026-01-02T03:04:05.678901Z');
INSERT INTO tokens (
    id, user_id, created_at, expires_at, revoked_at, key_id, user_agent, ip, last_used_at, kind,
    max_idle
)
SELECT
    gen_random_uuid(),
    CASE WHEN n < 4 THEN '00000000-0000-0000-0000-000000000001'::uuid END,
    now() - n * interval '1 hour', now() + (2.5 - n) * interval '1 day',
    CASE WHEN n > 3 THEN now() END,
    'key', %(awkward)s, CASE WHEN n = 1 THEN '2001:db8::1'::inet END, now(),
    CASE WHEN n = 2 THEN 'session' ELSE 'token' END, CASE WHEN n = 2 THEN interval '8 hours' END
FROM generate_series(1, 5) AS n;
INSERT INTO clients
VALUES ('id', %(awkward)s, '\\x00ff5c0a', '\\x5c2e0a', now(), now(), now());
INSERT INTO throttle VALUES ('subject', 3, now(), NULL, now(), 'place', NULL);
INSERT INTO reserved_emails VALUES ('digest', now());
INSERT INTO events (at, kind, outcome, user_id, email_digest, ip, client_id, key_id, request_id)
VALUES (now(), 'deleted', 'success', gen_random_uuid(), 'digest', '192.0.2.1', 'c', 'k', 'r');
INSERT INTO messages (
    id, nonce, kind, user_id, recipient, email_digest, language, key_id, created_at, expires_at,
    used_at, due_at, is_urgent
)
VALUES
    (gen_random_uuid(), gen_random_uuid(), 'password-reset',
        '00000000-0000-0000-0000-000000000001', 'A@example.com', 'digest', 'en', 'key',
        now(), now() + interval '1 hour', now(), NULL, false),
    (gen_random_uuid(), gen_random_uuid(), 'verification',
        '00000000-0000-0000-0000-000000000001', 'A@example.com', 'digest', 'en', 'key',
        now(), now() + interval '1 day', NULL, now(), false);
"""


def fill_everything(dsn: str) -> None:
    """Insert rows into every table, with values that are hard to transfer."""
    awkward = "'" + AWKWARD.replace("'", "''") + "'"
    run_sql(dsn, EVERYTHING.replace("%(awkward)s", awkward))


def contents(dsn: str) -> dict[str, list[object]]:
    """Return every row of every table, as text."""
    return {
        name: sorted(row[0] for row in run_sql(dsn, f"SELECT t::text FROM {name} t"))  # noqa: S608
        for name in TABLES
    }


def backed_up(dsn: str, folder: Path, *arguments: str) -> Path:
    """Back up a database; return the file."""
    file = folder / f"backup{next(_numbers)}"
    ended = manage("backup", str(file), *arguments, DATABASE_URL=dsn)
    assert ended.returncode == 0, ended
    return file


@contextmanager
def many_events(dsn: str) -> Iterator[None]:
    """Insert enough rows for a backup to take a moment."""
    run_sql(
        dsn,
        "INSERT INTO events (at, kind, outcome, request_id)"
        " SELECT now(), 'x', 'success', gen_random_uuid() FROM generate_series(1, 40000)",
    )
    try:
        yield
    finally:
        run_sql(dsn, "TRUNCATE events")

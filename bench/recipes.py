"""The databases of the servers under test."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bench.cluster import Recipe
from bench.dataset import EXPIRES_AT, PASSWORD_USERS, USERS, password_credentials
from bench.paths import ROOT
from ops.cpus import available_cpus
from rules.password_scheme import SCHEME, PasswordScheme

BCRYPT_COST = 12

# Users without their own password share the hash of an unknown one. The comment in SQL changes with
# the scheme, so that a database with hashes of another scheme is created again.
_FILL_USERS = f"""
-- {SCHEME}, cost {BCRYPT_COST}
INSERT INTO users (id, email, email_key, name, password_hash, created_at, updated_at)
SELECT
    md5('user ' || n)::uuid, 'user' || n || '@example.com', 'user' || n || '@example.com',
    'User ' || n, coalesce((%(hashes)s::text[])[n], %(unknown_hash)s),
    '2026-01-01Z', '2026-01-01Z'
FROM generate_series(1, {{users}}) AS n
"""

_FILL_TOKENS = """
INSERT INTO tokens (id, user_id, created_at, expires_at)
SELECT
    md5('token ' || n)::uuid, md5('user ' || (n - 1) %% {users} + 1)::uuid,
    '2026-01-01Z', %(expires_at)s
FROM generate_series(1, {tokens}) AS n
"""

EXPIRED_ROWS = 5_000_000
_FILL_EXPIRED = f"""
INSERT INTO tokens (id, user_id, created_at, expires_at)
SELECT
    md5('expired ' || n)::uuid, md5('user ' || n % {USERS} + 1)::uuid, at - interval '1 day', at
FROM generate_series(1, {EXPIRED_ROWS}) AS n,
    LATERAL (SELECT timestamptz '2026-01-02Z' + n * interval '1 s') AS expiry (at)
ON CONFLICT DO NOTHING
"""
# Failure counts of a distributed attack over one day: all have expired except those of the last
# hour.
_FILL_COUNTS = """
INSERT INTO throttle (subject, failures, last_at)
SELECT
    CASE n % 20 WHEN 0 THEN 'account:' WHEN 1 THEN 'address:' ELSE 'pair:' END
        || lpad(to_hex(n), 24, '0'),
    1, now() - ({rows} - n) * interval '1 day' / {rows}
FROM generate_series(1, {rows}) AS n
"""
TOKENS_EACH = 5
# Events that the server still keeps, whenever it is measured.
_FILL_EVENTS = """
INSERT INTO events (at, kind, outcome, user_id, email_digest, ip)
SELECT
    %(expires_at)s, 'logged-in', 'success', md5('user ' || (n - 1) %% {users} + 1)::uuid,
    left(md5('digest ' || (n - 1) %% {users} + 1), 24), '192.0.2.1'
FROM generate_series(1, 2 * {users}) AS n
"""
# So that no partition of a month is missing, whenever it is measured.
_CREATE_PARTITION = """
CREATE TABLE events_before_2100_01 PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2100-01-01Z')
"""
# In the order of the primary key, so that each of its pages is written once: random order takes
# several times as long. The rows of a user remain scattered.
_FILL_MANY_TOKENS = f"{_FILL_TOKENS}ORDER BY 1\n"
# Indexes are created after the rows are inserted: building one is faster than inserting into it.
_CREATE_INDEX = re.compile(r"^CREATE INDEX [^;]+;", re.MULTILINE)
# The tokens of a recipe expire in 2040, and its events are of 2040; those of logins are earlier.
# Logins beyond tokens.max_per_user revoke the oldest tokens, which are those of the recipe.
_DELETE_LOGINS = f"""
DELETE FROM tokens WHERE expires_at < '{EXPIRES_AT}';
DELETE FROM events WHERE at < '{EXPIRES_AT}';
DELETE FROM throttle;
UPDATE tokens
SET revoked_at = NULL
WHERE
    revoked_at IS NOT NULL
    AND user_id IN (SELECT md5('user ' || n)::uuid FROM generate_series(1, {PASSWORD_USERS}) AS n);
"""
# Not for the database of `timing`: this would delete the imported users, during whose measurement
# it is prepared again.
_DELETE_REGISTRATIONS = """
DELETE FROM users WHERE created_at <> '2026-01-01Z';
DELETE FROM messages;
"""


def userauth_recipe(database: str, tokens: int) -> Recipe:
    """Return the recipe of a database with 100,000 users and a number of tokens."""
    schema = (ROOT / "schema.sql").read_text(encoding="utf-8")
    fill_tokens = _FILL_TOKENS.format(users=USERS, tokens=tokens)
    fill_users = _FILL_USERS.format(users=USERS)
    return Recipe(database, (schema, fill_users, fill_tokens), _parameters, _DELETE_LOGINS)


def growth_recipe(users: int) -> Recipe:
    """Return the recipe of a database with some users, each with five tokens and two events."""
    schema = (ROOT / "schema.sql").read_text(encoding="utf-8")
    statements = (
        _CREATE_INDEX.sub("", schema),
        _CREATE_PARTITION,
        _FILL_USERS.format(users=users),
        _FILL_MANY_TOKENS.format(users=users, tokens=TOKENS_EACH * users),
        _FILL_EVENTS.format(users=users),
        "\n".join(_CREATE_INDEX.findall(schema)),
    )
    restore = _DELETE_LOGINS + _DELETE_REGISTRATIONS
    return Recipe(f"bench_{users}_users", statements, _parameters, restore)


def empty_recipe() -> Recipe:
    """Return the recipe of a database without a schema, for a restore."""
    return Recipe("bench_restored", (), dict)


def purge_recipe() -> Recipe:
    """Return the recipe of a database with 100,000 valid tokens and 5,000,000 expired ones."""
    recipe = userauth_recipe("bench_expired", USERS)
    return replace(recipe, statements=(*recipe.statements, _FILL_EXPIRED), restore=_FILL_EXPIRED)


def counts_recipe(rows: int) -> Recipe:
    """Return the recipe of a database with a number of failure counts."""
    schema = (ROOT / "schema.sql").read_text(encoding="utf-8")
    fill = _FILL_COUNTS.format(rows=rows)
    return Recipe("bench_counts", (schema, fill), dict)


def _parameters() -> dict[str, object]:
    passwords = [*(each.password for each in password_credentials()), "a password of no user"]
    scheme = PasswordScheme(cost=BCRYPT_COST)
    with ThreadPoolExecutor(available_cpus()) as pool:
        *hashes, unknown_hash = pool.map(scheme.hash, passwords)
    return {"hashes": hashes, "unknown_hash": unknown_hash, "expires_at": EXPIRES_AT}

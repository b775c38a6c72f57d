"""Applying the schema, and databases that are rejected."""

import itertools
from collections.abc import Iterator

import pytest

from db.errors import SchemaError
from db.schema_version import VERSION
from tests.harness.databases import apply, new_database
from tests.harness.sql import run_sql

_numbers = itertools.count()


@pytest.fixture
def empty(postgres: str) -> Iterator[str]:
    """Create an empty database."""
    with new_database(postgres, f"schema{next(_numbers)}") as dsn:
        yield dsn


def test_an_empty_database_gets_the_schema_and_its_version(empty: str) -> None:
    apply(empty)
    assert run_sql(empty, "SELECT version FROM userauth_schema") == [(VERSION,)]
    assert run_sql(empty, "SELECT count(*) FROM users, tokens") == [(0,)]


def test_applying_the_schema_again_keeps_the_data(empty: str) -> None:
    apply(empty)
    run_sql(empty, "INSERT INTO users (email, email_key, password_hash) VALUES ('a', 'a', 'x')")
    apply(empty)
    assert run_sql(empty, "SELECT email FROM users") == [("a",)]


def test_a_new_database_has_no_user_and_no_client(empty: str) -> None:
    apply(empty)
    counts = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM clients)"
    assert run_sql(empty, counts) == [(0, 0)]


def test_a_newer_schema_is_used_if_it_is_compatible_and_rejected_otherwise(empty: str) -> None:
    apply(empty)
    run_sql(empty, "UPDATE userauth_schema SET version = version + 1")
    apply(empty)
    run_sql(empty, "UPDATE userauth_schema SET compatible_since = version")
    with pytest.raises(SchemaError, match=f"has schema version {VERSION + 1}"):
        apply(empty)


def test_foreign_tables_are_left_alone(empty: str) -> None:
    run_sql(empty, "CREATE TABLE users (id integer)")
    with pytest.raises(SchemaError, match="already has users"):
        apply(empty)
    assert run_sql(empty, "SELECT to_regclass('tokens'), to_regclass('userauth_schema')") == [
        (None, None)
    ]


def test_a_database_with_another_encoding_than_utf_8_is_rejected(postgres: str) -> None:
    run_sql(
        postgres,
        "CREATE DATABASE latin ENCODING 'LATIN1'"
        " LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0",
    )
    try:
        with pytest.raises(SchemaError, match="ENCODING 'UTF8'"):
            apply(postgres.replace("@/postgres?", "@/latin?"))
    finally:
        run_sql(postgres, "DROP DATABASE latin WITH (FORCE)")


def test_email_keys_are_unique(dsn: str) -> None:
    insert = "INSERT INTO users (email, email_key, password_hash) VALUES ('A', 'a', 'x')"
    run_sql(dsn, insert)
    assert run_sql(dsn, insert + " ON CONFLICT (email_key) DO NOTHING RETURNING id") == []


def test_the_row_of_a_token_outlives_its_user(dsn: str) -> None:
    run_sql(
        dsn,
        "WITH u AS (INSERT INTO users (email, email_key, password_hash)"
        " VALUES ('a', 'a', 'x') RETURNING id)"
        " INSERT INTO tokens (id, user_id, created_at, expires_at)"
        " SELECT gen_random_uuid(), id, now(), now() FROM u",
    )
    run_sql(dsn, "DELETE FROM users")
    assert run_sql(dsn, "SELECT user_id FROM tokens") == [(None,)]

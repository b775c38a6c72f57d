"""The schema: applied once, and never to a database that holds something else."""

import itertools
from collections.abc import Iterator

import pytest

from db.errors import SchemaError
from db.schema import VERSION
from tests.harness.databases import apply, new_database
from tests.harness.sql import run_sql

_numbers = itertools.count()


@pytest.fixture
def empty(postgres: str) -> Iterator[str]:
    """Make a database with nothing in it."""
    with new_database(postgres, f"schema{next(_numbers)}") as dsn:
        yield dsn


def test_an_empty_database_gets_the_schema_and_its_version(empty: str) -> None:
    apply(empty)
    assert run_sql(empty, "SELECT version FROM userauth_schema") == [(VERSION,)]
    assert run_sql(empty, "SELECT count(*) FROM users, tokens") == [(0,)]


def test_a_database_that_has_the_schema_keeps_its_data(empty: str) -> None:
    apply(empty)
    run_sql(empty, "INSERT INTO users (email, email_key, password_hash) VALUES ('a', 'a', 'x')")
    apply(empty)
    assert run_sql(empty, "SELECT email FROM users") == [("a",)]


def test_an_empty_database_gets_no_account_and_no_client(empty: str) -> None:
    apply(empty)
    counts = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM clients)"
    assert run_sql(empty, counts) == [(0, 0)]


def test_a_schema_that_is_newer_stops_the_start_with_a_sentence(empty: str) -> None:
    apply(empty)
    run_sql(empty, "UPDATE userauth_schema SET version = version + 1")
    with pytest.raises(SchemaError, match=f"holds schema version {VERSION + 1}"):
        apply(empty)


def test_tables_of_somebody_else_are_left_alone(empty: str) -> None:
    run_sql(empty, "CREATE TABLE users (id integer)")
    with pytest.raises(SchemaError, match="already has users"):
        apply(empty)
    assert run_sql(empty, "SELECT to_regclass('tokens'), to_regclass('userauth_schema')") == [
        (None, None)
    ]


def test_a_database_that_is_not_in_utf_8_is_refused(postgres: str) -> None:
    run_sql(
        postgres,
        "CREATE DATABASE latin ENCODING 'LATIN1'"
        " LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0",
    )
    with pytest.raises(SchemaError, match="ENCODING 'UTF8'"):
        apply(postgres.replace("@/postgres?", "@/latin?"))
    run_sql(postgres, "DROP DATABASE latin")


def test_the_database_itself_refuses_a_second_user_of_one_address(dsn: str) -> None:
    insert = "INSERT INTO users (email, email_key, password_hash) VALUES ('A', 'a', 'x')"
    run_sql(dsn, insert)
    assert run_sql(dsn, insert + " ON CONFLICT (email_key) DO NOTHING RETURNING id") == []


def test_a_token_outlives_its_user_without_naming_it(dsn: str) -> None:
    run_sql(
        dsn,
        "WITH u AS (INSERT INTO users (email, email_key, password_hash)"
        " VALUES ('a', 'a', 'x') RETURNING id)"
        " INSERT INTO tokens (id, user_id, created_at, expires_at)"
        " SELECT gen_random_uuid(), id, now(), now() FROM u",
    )
    run_sql(dsn, "DELETE FROM users")
    assert run_sql(dsn, "SELECT user_id FROM tokens") == [(None,)]

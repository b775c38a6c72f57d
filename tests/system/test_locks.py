"""Conflicting requests in the database: one that waits for a lock sees the changes of its holder.

This holds for every default isolation level of the database.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from psycopg2.errors import LockNotAvailable

from db.pool import Database
from db.schema import apply_schema
from rules.password_scheme import PasswordScheme
from tests.harness.api import PASSWORD, Answer, Api, basic, bearer
from tests.harness.clock import Clock
from tests.harness.configuration import override_settings
from tests.harness.databases import SCHEMA, delete_rows, new_database, use
from tests.harness.mail import MAIL
from tests.harness.row_locks import holding
from tests.harness.sql import run_sql

EMAIL = "susan@example.com"
NEW_PASSWORD = "another horse battery"
BY_PASSWORD = basic(EMAIL, PASSWORD)

CHANGE_PASSWORD = "UPDATE users SET password_version = password_version + 1"
DISABLE = "UPDATE users SET disabled_at = now()"
REVOKE = "UPDATE tokens SET revoked_at = now()"
LOCK_USER = "SELECT 1 FROM users FOR UPDATE"
LOCK_TOKEN = "SELECT 1 FROM tokens FOR UPDATE"
USER = "SELECT name, password_hash, password_version, updated_at FROM users"


def started(request: Coroutine[Any, Any, Answer]) -> "asyncio.Task[Answer]":
    return asyncio.create_task(request)


def patch(api: Api, authorization: str, **fields: object) -> "asyncio.Task[Answer]":
    return started(api.request("PATCH", "/api/user", authorization=authorization, json_body=fields))


def delete(api: Api, authorization: str) -> "asyncio.Task[Answer]":
    return started(api.request("DELETE", "/api/user", authorization=authorization))


def valid_tokens(dsn: str) -> int:
    return int(run_sql(dsn, "SELECT count(*) FROM tokens WHERE revoked_at IS NULL")[0][0])


def is_locked(dsn: str, sql: str) -> bool:
    try:
        run_sql(dsn, sql + " NOWAIT")
    except LockNotAvailable:
        return True
    return False


@pytest.fixture(scope="module", params=["read committed", "repeatable read"])
def database(postgres: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Create a database with this default isolation level."""
    name = f"locks_{str(request.param).replace(' ', '_')}"
    with new_database(postgres, name) as dsn:
        run_sql(
            postgres, f"ALTER DATABASE {name} SET default_transaction_isolation = '{request.param}'"
        )
        run_sql(dsn, SCHEMA)
        yield dsn


@pytest.fixture
def dsn(database: str) -> str:
    delete_rows(database)
    return database


@pytest.mark.gen_test
@pytest.mark.parametrize("change", [CHANGE_PASSWORD, DISABLE, "DELETE FROM users"])
async def test_a_login_that_waits_for_what_shuts_its_user_out_fails(
    api: Api, dsn: str, change: str
) -> None:
    await api.register(EMAIL)
    with holding(dsn, change) as holder:
        log_in = started(api.log_in(EMAIL))
        await holder.sees_waiting(log_in)
        holder.commit()
        answer = await log_in
    assert (answer.status, answer.problem) == (401, "credentials-invalid")
    assert run_sql(dsn, "SELECT 1 FROM tokens") == []


@pytest.mark.gen_test
async def test_a_login_that_waits_for_another_change_succeeds(api: Api, dsn: str) -> None:
    await api.register(EMAIL)
    with holding(dsn, "UPDATE users SET name = 'Susan'") as holder:
        log_in = started(api.log_in(EMAIL))
        await holder.sees_waiting(log_in)
        holder.commit()
        token = (await log_in).json["token"]
    answer = await api.request("GET", "/api/user", authorization=bearer(token))
    assert answer.json["name"] == "Susan"


@pytest.mark.gen_test
@pytest.mark.parametrize("fields", [{"name": "The thief"}, {"password": NEW_PASSWORD}])
async def test_a_change_with_a_password_that_was_changed_meanwhile_is_rejected(
    api: Api, dsn: str, fields: dict[str, str]
) -> None:
    await api.registered_token(EMAIL)
    with holding(dsn, CHANGE_PASSWORD) as holder:
        change = patch(api, BY_PASSWORD, **fields)
        await holder.sees_waiting(change)
        before = holder.run(USER)
        holder.commit()
        answer = await change
    assert (answer.status, answer.problem) == (401, "credentials-invalid")
    assert run_sql(dsn, USER) == before
    assert valid_tokens(dsn) == 1


@pytest.mark.gen_test
async def test_a_deletion_with_a_password_that_was_changed_meanwhile_is_rejected(
    api: Api, dsn: str
) -> None:
    await api.registered_token(EMAIL)
    with holding(dsn, CHANGE_PASSWORD) as holder:
        deletion = delete(api, BY_PASSWORD)
        await holder.sees_waiting(deletion)
        holder.commit()
        answer = await deletion
    assert (answer.status, answer.problem) == (401, "credentials-invalid")
    assert run_sql(dsn, "SELECT password_version FROM users") == [(2,)]
    assert valid_tokens(dsn) == 1


@pytest.mark.gen_test
@pytest.mark.parametrize("ask", [delete, lambda api, by: patch(api, by, password=NEW_PASSWORD)])
@pytest.mark.parametrize("change", [REVOKE, "DELETE FROM users"])
async def test_a_request_with_a_token_that_was_revoked_meanwhile_is_rejected(
    api: Api, dsn: str, ask: "Callable[[Api, str], asyncio.Task[Answer]]", change: str
) -> None:
    token = await api.registered_token(EMAIL)
    with holding(dsn, LOCK_USER) as holder:
        asking = ask(api, bearer(token))
        await holder.sees_waiting(asking)
        holder.run(change)
        before = holder.run(USER)
        holder.commit()
        answer = await asking
    assert (answer.status, answer.problem) == (401, "token-invalid")
    assert run_sql(dsn, USER) == before


@pytest.mark.gen_test
@pytest.mark.parametrize("ask", [delete, lambda api, by: patch(api, by, password=NEW_PASSWORD)])
async def test_logins_wait_until_all_tokens_are_revoked(
    api: Api, dsn: str, ask: "Callable[[Api, str], asyncio.Task[Answer]]"
) -> None:
    await api.registered_token(EMAIL)
    with holding(dsn, LOCK_TOKEN) as holder:
        asking = ask(api, BY_PASSWORD)
        await holder.sees_waiting(asking)
        assert is_locked(dsn, "SELECT 1 FROM users FOR SHARE")
        log_in = started(api.log_in(EMAIL))
        await holder.sees_waiting(asking, log_in)
        holder.commit()
        assert (await asking).status == 200
        assert (await log_in).status == 401
    assert valid_tokens(dsn) == 0


@pytest.mark.gen_test
@pytest.mark.parametrize("ask", [delete, lambda api, by: patch(api, by, password=NEW_PASSWORD)])
async def test_a_change_that_waits_for_a_login_revokes_its_token(
    api: Api, dsn: str, ask: "Callable[[Api, str], asyncio.Task[Answer]]"
) -> None:
    await api.register(EMAIL)
    log_in = (
        "INSERT INTO tokens (id, user_id, created_at, expires_at)"
        " SELECT gen_random_uuid(), id, now(), now() FROM users FOR SHARE"
    )
    with holding(dsn, log_in) as holder:
        asking = ask(api, BY_PASSWORD)
        await holder.sees_waiting(asking)
        holder.commit()
        assert (await asking).status == 200
    assert run_sql(dsn, "SELECT revoked_at IS NULL FROM tokens") == [(False,)]


@pytest.mark.gen_test
async def test_a_new_password_by_token_revokes_the_other_tokens_once_with_its_time(
    api: Api, dsn: str, clock: Clock
) -> None:
    await api.registered_token(EMAIL)
    run_sql(dsn, "UPDATE tokens SET revoked_at = 'epoch'")
    await api.token(EMAIL)
    clock.advance(1)
    presented = await api.token(EMAIL)
    clock.advance(1)
    assert (await patch(api, bearer(presented), password=NEW_PASSWORD)).status == 200
    revoked = "SELECT extract(epoch FROM revoked_at)::bigint FROM tokens ORDER BY 1 NULLS LAST"
    assert run_sql(dsn, revoked) == [(0,), (int(clock.now),), (None,)]
    kept = run_sql(dsn, "SELECT id::text FROM tokens WHERE revoked_at IS NULL")
    assert kept == [(presented.partition(".")[0],)]
    clock.advance(1)
    assert (await delete(api, bearer(presented))).status == 200
    assert run_sql(dsn, revoked) == [(0,), (int(clock.now) - 1,), (int(clock.now),)]


@pytest.mark.gen_test
async def test_the_time_of_a_change_never_decreases(api: Api, dsn: str) -> None:
    token = await api.registered_token(EMAIL)
    for fields in ({"name": "Susan"}, {"password": NEW_PASSWORD}):
        with holding(dsn, LOCK_USER) as holder:
            change = patch(api, bearer(token), **fields)
            await holder.sees_waiting(change)
            holder.run("UPDATE users SET updated_at = clock_timestamp()")
            [(before,)] = holder.run("SELECT updated_at FROM users")
            holder.commit()
            assert (await change).status == 200
        assert run_sql(dsn, "SELECT updated_at > %s FROM users", (before,)) == [(True,)]


@pytest.mark.gen_test
@pytest.mark.parametrize(("step", "status"), [(0, 200), (1, 401)])
async def test_a_rehash_does_not_replace_a_hash_that_was_stored_meanwhile(
    api: Api, dsn: str, step: int, status: int
) -> None:
    await api.register(EMAIL)
    store_another_cost(dsn)
    with holding(dsn, LOCK_USER) as holder:
        log_in = started(api.log_in(EMAIL))
        await holder.sees_waiting(log_in)
        holder.run(
            "UPDATE users SET password_hash = 'theirs', password_version = password_version + %s",
            (step,),
        )
        holder.commit()
        assert (await log_in).status == status
    assert run_sql(dsn, "SELECT password_hash FROM users") == [("theirs",)]


@override_settings(REGISTRATION__QUARANTINE_DAYS=7)
@pytest.mark.gen_test
async def test_a_registration_that_waits_for_a_deletion_finds_the_address_reserved(
    api: Api, dsn: str
) -> None:
    token = await api.registered_token(EMAIL)
    [(event,)] = run_sql(dsn, "SELECT max(id) FROM events")
    with holding(dsn, "LOCK events IN SHARE MODE") as holder:
        # It has deleted the user and reserved the address, and waits to write its event.
        deletion = delete(api, bearer(token))
        await holder.sees_waiting(deletion)
        registration = started(api.register(EMAIL))
        await holder.sees_waiting(deletion, registration)
        holder.commit()
        assert (await deletion).status == 200
        assert (await registration).status == 409
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]
    assert run_sql(dsn, "SELECT kind FROM events WHERE id > %s", (event,)) == [("deleted",)]


@override_settings(**MAIL, REGISTRATION__VERIFICATION="required")
@pytest.mark.gen_test
async def test_a_registration_that_found_no_reservation_does_not_miss_a_deletion(
    api: Api, dsn: str
) -> None:
    """The deletion reserves the address after the registration has looked for that."""
    await api.register(EMAIL)
    with holding(dsn, "LOCK messages") as holder:
        registration = started(api.register(EMAIL))
        await holder.sees_waiting(registration, statement="kind = 'email-undo'")
        holder.run("DELETE FROM users")
        holder.commit()
        assert (await registration).status == 202
    assert run_sql(dsn, "SELECT count(*) FROM users") == [(0,)]


def store_another_cost(dsn: str) -> None:
    stored = PasswordScheme(cost=5).hash(PASSWORD)
    run_sql(dsn, "UPDATE users SET password_hash = %s", (stored,))


def test_applying_the_schema_waits_for_another_process_that_applies_it(dsn: str) -> None:
    async def work(opened: Database) -> None:
        with holding(dsn, "SELECT pg_advisory_lock(%s)", (0x75736572,)) as holder:
            applying: asyncio.Task[None] = asyncio.create_task(apply_schema(opened, SCHEMA))
            await holder.sees_waiting(applying)
            holder.run("SELECT pg_advisory_unlock(%s)", (0x75736572,))
            await applying

    use(dsn, work)

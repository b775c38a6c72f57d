"""A role that connects, and whose default is to act as another one, which owns the tables."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from db.errors import RoleSettingsMissing, Unavailable
from db.pool import Database
from db.pooler import SESSION, get_location
from db.schema import apply_schema
from db.schema_lock import FIND_HOLDER, LOCK, TAKE_LOCK, LockWait, read_holder
from db.server_state import get_server_state
from db.waiting_sessions import WaitingSessions
from ops.logs import SERVER
from postgres.plain_connection import PlainConnection, plain_connection
from settings.choices import Pooler
from tests.harness.clock import Clock
from tests.harness.databases import SCHEMA, apply, use
from tests.harness.external_cluster import PASSWORD, Cluster, new_cluster
from tests.harness.memory_directory import new_directory
from tests.harness.pool_limits import LIMITS

pytestmark = pytest.mark.needs("initdb", "openssl")
SETUP = f"""
CREATE ROLE tables_owner;
GRANT tables_owner TO userauth;
ALTER ROLE userauth SET role = tables_owner;
ALTER ROLE userauth SET search_path = own;
ALTER ROLE userauth CONNECTION LIMIT 33;
CREATE ROLE climber LOGIN PASSWORD '{PASSWORD}';
GRANT postgres TO climber;
ALTER ROLE climber SET role = postgres;
CREATE SCHEMA own AUTHORIZATION tables_owner
"""
OWNERS = "SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'own'"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with new_directory() as folder, new_cluster(Path(folder)) as cluster:
        cluster.sql(SETUP)
        apply(cluster.url())
        yield cluster


def test_the_state_of_the_session_is_that_of_the_role_that_connected(cluster: Cluster) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            state = await get_server_state(connection)
        assert (state.role, state.superuser, state.missing_privileges) == ("tables_owner", None, [])
        assert (state.usable_connections, state.is_encrypted) == (33, True)

    use(cluster.url(), work)


def test_a_superuser_is_named_although_it_acts_as_another_role(cluster: Cluster) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute("SET role = tables_owner")
            assert (await get_server_state(connection)).superuser == "postgres"

    use(cluster.url("postgres"), work)


def test_a_superuser_as_which_an_ordinary_role_acts_is_named(cluster: Cluster) -> None:
    async def work(database: Database) -> None:
        async with database.connection() as connection:
            state = await get_server_state(connection)
        assert (state.role, state.superuser) == ("postgres", "postgres")

    use(cluster.url("climber"), work)


def test_a_session_and_its_roles_are_recognized(cluster: Cluster) -> None:
    async def work(database: Database) -> None:
        assert (await get_location(database)).role == "userauth as tables_owner"
        async with database.connection() as connection:
            session = await connection.fetch_one(SESSION)
            assert session is not None
            assert None not in session

    use(cluster.url(), work)


def test_the_settings_for_a_pooler_are_those_of_the_role_that_connects(cluster: Cluster) -> None:
    async def nothing(_: Database) -> None:
        pass

    with pytest.raises(RoleSettingsMissing, match="ALTER ROLE userauth IN DATABASE userauth SET"):
        use(cluster.url(), nothing, replace(LIMITS, pooler=Pooler.TRANSACTION))


class Committing(logging.Handler):
    """Commits the transaction of another connection as soon as something is logged."""

    def __init__(self, connection: PlainConnection) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        del record
        self._connection.execute("COMMIT")


def test_a_process_of_ours_that_holds_the_lock_is_recognized_and_waited_for(
    cluster: Cluster,
) -> None:
    async def work(database: Database) -> None:
        # With another holder, the wait would end at once.
        wait = LockWait(userauth_seconds=60, other_seconds=0, check_seconds=0.01)
        await apply_schema(database, SCHEMA, lock_wait=wait)

    cluster.sql("DROP SCHEMA own CASCADE; CREATE SCHEMA own AUTHORIZATION tables_owner")
    with plain_connection(cluster.url()) as holder, plain_connection(cluster.url()) as other:
        holder.execute("BEGIN")
        holder.fetch_all(TAKE_LOCK, (LOCK,))
        found = read_holder(other.fetch_all(FIND_HOLDER, (LOCK,)))
        assert found is not None
        assert (found.role, found.application, found.is_userauth) == ("userauth", "userauth", True)
        handler = Committing(holder)
        logging.getLogger(SERVER).addHandler(handler)
        try:
            use(cluster.url(), work)
        finally:
            logging.getLogger(SERVER).removeHandler(handler)
    assert cluster.sql(OWNERS) == [("tables_owner",)]


def test_sessions_that_wait_for_a_standby_are_counted(cluster: Cluster) -> None:
    waiting = "count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

    def set_standby(name: str) -> None:
        cluster.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        cluster.sql("SELECT pg_reload_conf()")
        cluster.wait_for(f"current_setting('synchronous_standby_names') = '{name}'")

    async def write(database: Database) -> None:
        async with database.connection() as connection:
            await connection.execute("UPDATE userauth_schema SET version = version")

    async def work(database: Database) -> None:
        await asyncio.to_thread(set_standby, "absent")
        writing = asyncio.create_task(write(database))
        await asyncio.to_thread(cluster.wait_for, waiting)
        async with database.connection() as connection:
            with pytest.raises(Unavailable, match="sessions wait for a synchronous standby: 1"):
                await WaitingSessions(Clock()).check(connection, limit=1, seconds=0)
        await asyncio.to_thread(set_standby, "")
        await writing

    use(cluster.url(), work)

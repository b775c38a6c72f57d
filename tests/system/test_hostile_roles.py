"""Hostile roles in the cluster: their objects in the search path, and the locks that they hold."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from db.errors import SchemaError
from db.pool import Database
from db.schema import apply_schema
from db.schema_lock import LOCK, LockWait
from tests.harness.api import Api
from tests.harness.command_line import manage
from tests.harness.configuration import ROOT
from tests.harness.databases import SCHEMA, apply
from tests.harness.external_cluster import PASSWORD, Cluster, new_cluster
from tests.harness.memory_directory import new_directory
from tests.harness.pool_limits import LIMITS
from tests.harness.processes import running_server

pytestmark = pytest.mark.needs("initdb", "openssl")
# Functions and operators that match the arguments in the server's statements more closely than
# those of Postgres do.
TRAPS = """
CREATE TABLE {schema}.stolen (role text, hash text);
GRANT INSERT ON {schema}.stolen TO PUBLIC;
CREATE FUNCTION {schema}.steal() RETURNS double precision LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {schema}.stolen SELECT current_user, password_hash FROM users; RETURN 1; END $$;
CREATE FUNCTION {schema}.trap(integer, integer) RETURNS double precision
    LANGUAGE sql AS 'SELECT {schema}.steal()';
CREATE FUNCTION {schema}.trap(numeric, double precision) RETURNS double precision
    LANGUAGE sql AS 'SELECT {schema}.steal()';
CREATE OPERATOR {schema}.^ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = {schema}.trap);
CREATE OPERATOR {schema}.* (
    LEFTARG = numeric, RIGHTARG = double precision, FUNCTION = {schema}.trap);
CREATE FUNCTION {schema}.power(double precision, integer) RETURNS double precision
    LANGUAGE sql AS 'SELECT {schema}.steal()';
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with (
        new_directory() as folder,
        new_cluster(Path(folder)) as made,
    ):
        made.sql(f"CREATE ROLE mallory LOGIN PASSWORD '{PASSWORD}'")
        yield made


@pytest.fixture
def database(cluster: Cluster) -> Iterator[Cluster]:
    """Return the cluster; afterwards, create the database again without the grants of the test."""
    yield cluster
    cluster.sql("DROP DATABASE userauth WITH (FORCE)", "postgres")
    cluster.sql("ALTER ROLE userauth RESET ALL", "postgres")
    cluster.sql(
        "CREATE DATABASE userauth OWNER userauth ENCODING 'UTF8' TEMPLATE template0", "postgres"
    )


def as_mallory(cluster: Cluster, statement: str) -> None:
    with closing(psycopg2.connect(cluster.url("mallory"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.parametrize(
    ("grant", "named"),
    [
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
        ("GRANT CREATE ON SCHEMA public TO mallory", "'mallory' may create"),
        ("ALTER SCHEMA public OWNER TO mallory", "'mallory' may create"),
        (
            "CREATE ROLE gang; GRANT gang TO mallory; GRANT CREATE ON SCHEMA public TO gang",
            "'mallory' may create",
        ),
    ],
)
def test_a_schema_in_which_other_roles_may_create_is_rejected_until_revoked(
    database: Cluster, grant: str, named: str
) -> None:
    database.sql("GRANT CREATE ON SCHEMA public TO userauth")
    database.sql(grant)
    with pytest.raises(SchemaError, match=named):
        apply(database.url())
    assert database.sql("SELECT to_regclass('userauth_schema')") == [(None,)]
    checked = manage("check", DATABASE_URL=database.url())
    assert (checked.returncode, checked.stdout) == (1, "")
    assert named in checked.stderr
    database.sql("ALTER SCHEMA public OWNER TO pg_database_owner")
    database.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC, mallory")
    database.sql("DO $$ BEGIN REVOKE gang FROM mallory; EXCEPTION WHEN others THEN END $$")
    apply(database.url())


def test_objects_of_other_roles_in_the_schema_are_rejected(database: Cluster) -> None:
    apply(database.url())
    database.sql("GRANT CREATE ON SCHEMA public TO mallory")
    as_mallory(database, TRAPS.format(schema="public"))
    database.sql("REVOKE CREATE ON SCHEMA public FROM mallory")
    with pytest.raises(SchemaError, match="'mallory' owns functions"):
        apply(database.url())


def test_roles_that_can_become_the_server_role_are_accepted(database: Cluster) -> None:
    database.sql("CREATE ROLE deputy LOGIN; GRANT userauth TO deputy")
    database.sql("CREATE ROLE admins; GRANT admins TO userauth")
    database.sql("GRANT CREATE ON SCHEMA public TO deputy, admins, postgres")
    apply(database.url())


def test_statements_in_a_dedicated_schema_run_no_code_of_other_roles(
    database: Cluster, tmp_path: Path
) -> None:
    """The role also searches the schema public, in which all may create, as before Postgres 15."""
    database.sql("CREATE SCHEMA userauth AUTHORIZATION userauth")
    database.sql("GRANT CREATE ON SCHEMA public TO PUBLIC")
    as_mallory(database, TRAPS.format(schema="public"))
    variables = {
        "DATABASE_URL": database.url(),
        "USERAUTH_THROTTLE__PAIR_FAILURES": "1",
    }

    async def guess(url: str) -> None:
        api = Api(url)
        await api.registered_token()
        answers = [await api.log_in(password="wrong horse battery") for _ in range(3)]
        api.close()
        assert 401 in {answer.status for answer in answers}

    with running_server(variables, tmp_path / "log") as server:
        asyncio.run(guess(server.url))
    assert "Traceback" not in server.written()
    assert database.sql("SELECT * FROM public.stolen") == []
    file = tmp_path / "backup"
    assert manage("backup", str(file), DATABASE_URL=database.url()).returncode == 0
    ended = manage("restore", "--replace", "--yes", str(file), DATABASE_URL=database.url())
    assert ended.returncode == 0, ended
    assert database.sql("SELECT * FROM public.stolen") == []
    assert database.sql("SELECT count(*) FROM userauth.users") == [(1,)]


def test_the_documented_statements_create_a_private_database(
    database: Cluster,
) -> None:
    page = (ROOT / "docs" / "database.md").read_text(encoding="utf-8")
    section = page.partition("## Create the role and the database")[2]
    shown = section.partition("```sql\n")[2].partition("```")[0]
    before, connect, after = shown.partition("\\connect userauth\n")
    assert connect
    database.sql("DROP DATABASE userauth WITH (FORCE)", "postgres")
    for statement in before.splitlines()[1:]:  # the role exists
        database.sql(statement, "postgres")
    for statement in after.splitlines():
        database.sql(statement)
    apply(database.url())
    assert database.sql("SELECT to_regclass('userauth.users') IS NOT NULL") == [(True,)]
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        as_mallory(database, "SELECT 1")


def apply_with(url: str, wait: LockWait) -> None:
    async def run() -> None:
        database = await Database.open(url, LIMITS)
        try:
            await apply_schema(database, SCHEMA, lock_wait=wait)
        finally:
            await database.close()

    asyncio.run(run())


def test_a_lock_held_by_another_role_stops_the_start_and_is_reported(
    database: Cluster,
) -> None:
    with closing(
        psycopg2.connect(database.url("mallory"), application_name="userauth")
    ) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        holder = f"process {connection.info.backend_pid} of the role 'mallory'"
        with pytest.raises(SchemaError, match=f"held by {holder}, application 'userauth'"):
            apply_with(
                database.url(),
                LockWait(userauth_seconds=3600, other_seconds=0.05, check_seconds=0.05),
            )
    apply(database.url())


def test_the_start_waits_longer_for_a_migration_by_the_same_role(
    database: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits longer than for other roles, and logs which role it waits for."""
    with (
        closing(psycopg2.connect(database.url(), application_name="userauth")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        with pytest.raises(SchemaError, match="of the role 'userauth'"):
            apply_with(
                database.url(), LockWait(userauth_seconds=1, other_seconds=0, check_seconds=0.05)
            )
    assert caplog.text.count("waiting for the lock of the schema, held by") >= 2

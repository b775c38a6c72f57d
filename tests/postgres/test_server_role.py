"""The role of the server in the embedded Postgres: owner of its databases, not a superuser."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from postgres.data_directory import DataDirectory
from postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from postgres.initialization import create_cluster
from tests.harness.configuration import ROOT
from tests.harness.embedded_clusters import (
    Member,
    copy_cluster,
    execute,
    postmaster,
    wait_for_the_end,
)
from tests.harness.memory_directory import new_directory

OLD_SCHEMA = (ROOT / "db" / "schemas" / "1.sql").read_text("utf-8")
OTHER_THINGS = """
CREATE SEQUENCE counting;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN small AS integer CHECK (VALUE < 10);
CREATE VIEW seen AS SELECT 1 AS one;
CREATE FUNCTION of_old() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
CREATE SCHEMA "Quoted ""one";
CREATE TABLE "Quoted ""one"."Odd; DROP TABLE x" (id integer GENERATED ALWAYS AS IDENTITY);
INSERT INTO "Quoted ""one"."Odd; DROP TABLE x" DEFAULT VALUES;
"""
OWNED_BY_ANOTHER = """
SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    AND relowner <> 'userauth'::regrole
UNION ALL
SELECT proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    AND proowner <> 'userauth'::regrole
UNION ALL
SELECT typname FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    AND typowner <> 'userauth'::regrole
UNION ALL
SELECT datname FROM pg_database WHERE NOT datistemplate AND datdba <> 'userauth'::regrole
"""


def start_as_earlier_version(folder: Path) -> str:
    """Start a cluster as version 0.1.0 did; return the DSN of its superuser."""
    cluster = DataDirectory.open(folder)
    with cluster.start_lock() as lock:
        create_cluster(cluster, lock)
    (folder / "pg_hba.conf").write_text("local all all trust\n", encoding="utf-8")
    options = f"--options=-c listen_addresses= -c unix_socket_directories={folder}"
    code, output = cluster.run("pg_ctl", "start", "--wait", "--log=startup.log", options)
    assert code == 0, output
    return f"postgresql://postgres@/postgres?host={folder}"


def stop_as_earlier_version(folder: Path) -> None:
    assert DataDirectory.open(folder).run("pg_ctl", "stop", "--wait")[0] == 0


@pytest.fixture(scope="module")
def made_by_earlier_version() -> Iterator[Path]:
    """Yield the directory of a stopped cluster whose data the superuser owns."""
    with new_directory() as place:
        folder = Path(place) / "postgres"
        dsn = start_as_earlier_version(folder)
        execute(dsn, OLD_SCHEMA + OTHER_THINGS)
        execute(dsn, "CREATE DATABASE another")
        execute(dsn.replace("/postgres?", "/another?"), "CREATE TABLE there AS SELECT 2 AS two")
        stop_as_earlier_version(folder)
        yield folder


@pytest.fixture
def earlier_cluster(made_by_earlier_version: Path, place: Path) -> Path:
    """Return a copy of that cluster."""
    return copy_cluster(made_by_earlier_version, place)


def check_ownership(dsn: str) -> None:
    assert execute(dsn, OWNED_BY_ANOTHER) == []
    assert execute(dsn, "SELECT version FROM userauth_schema") == [(1,)]
    assert execute(dsn, 'SELECT id FROM "Quoted ""one"."Odd; DROP TABLE x"') == [(1,)]
    execute(dsn, 'INSERT INTO "Quoted ""one"."Odd; DROP TABLE x" DEFAULT VALUES')
    assert execute(dsn, "SELECT of_old(), nextval('counting')") == [(1, 1)]
    another = dsn.replace("/postgres?", "/another?")
    assert execute(another, OWNED_BY_ANOTHER) == []
    assert execute(another, "UPDATE there SET two = 3 RETURNING two") == [(3,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_read_file('/etc/hostname')",
        "SELECT pg_read_binary_file('PG_VERSION')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/hostname')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY pg_class FROM PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/written'",
        "ALTER SYSTEM SET fsync = off",
        "ALTER ROLE userauth SUPERUSER",
        "CREATE ROLE another SUPERUSER",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "GRANT pg_read_server_files TO userauth",
        "CREATE DATABASE another",
        "SELECT rolpassword FROM pg_authid",
    ],
)
def test_the_server_role_can_read_no_file_and_run_no_program(served: str, statement: str) -> None:
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.WrongObjectType)):
        execute(served, statement)


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """Yield the DSN of a new cluster."""
    with new_directory() as folder:
        postgres = EmbeddedPostgres.start(Path(folder) / "postgres")
        yield postgres.dsn
        postgres.stop()


def test_the_server_role_is_no_superuser_and_a_member_of_no_role(served: str) -> None:
    assert execute(served, "SHOW is_superuser") == [("off",)]
    assert execute(served, "SELECT current_user") == [("userauth",)]
    assert execute(
        served,
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles"
        " WHERE rolname = current_user",
    ) == [(False,) * 5]
    assert (
        execute(served, "SELECT 1 FROM pg_auth_members WHERE member = current_user::regrole") == []
    )


@pytest.mark.parametrize("options", ["", "&replication=database", "&replication=true"])
def test_connections_as_the_superuser_are_rejected(served: str, options: str) -> None:
    dsn = served.replace("userauth@", "postgres@") + options
    with pytest.raises(psycopg2.OperationalError, match=r"rejects|no pg_hba.conf entry"):
        execute(dsn, "SELECT 1")


def test_ownership_of_an_earlier_cluster_is_transferred_with_its_data(
    earlier_cluster: Path,
) -> None:
    postgres = EmbeddedPostgres.start(earlier_cluster)
    check_ownership(postgres.dsn)
    assert execute(postgres.dsn, "SHOW is_superuser") == [("off",)]
    postgres.stop()


def test_transferring_ownership_twice_changes_nothing(earlier_cluster: Path) -> None:
    EmbeddedPostgres.start(earlier_cluster).stop()
    # As if the first one had been interrupted before its end.
    (earlier_cluster / "access.conf").unlink()
    postgres = EmbeddedPostgres.start(earlier_cluster)
    check_ownership(postgres.dsn)
    postgres.stop()


def test_an_interrupted_transfer_of_ownership_is_repeated(earlier_cluster: Path) -> None:
    member = Member(earlier_cluster)
    single = wait_for_single_user(member)
    member.kill()
    single.kill()
    assert not (earlier_cluster / "access.conf").exists()
    postgres = EmbeddedPostgres.start(earlier_cluster)
    check_ownership(postgres.dsn)
    postgres.stop()
    wait_for_the_end(earlier_cluster)


def wait_for_single_user(member: Member) -> psutil.Process:
    """Wait for a Postgres in single-user mode; return its process."""
    parent = psutil.Process(member.process.pid)
    while True:
        for child in parent.children():
            try:
                if "--single" in child.cmdline():
                    child.suspend()
                    return child
            except psutil.NoSuchProcess:
                continue


def test_objects_that_an_earlier_version_created_later_are_transferred(
    earlier_cluster: Path,
) -> None:
    EmbeddedPostgres.start(earlier_cluster).stop()
    execute(start_as_earlier_version(earlier_cluster), "CREATE TABLE since AS SELECT 4 AS four")
    postgres = EmbeddedPostgres.start(earlier_cluster)
    check_ownership(postgres.dsn)
    assert execute(postgres.dsn, "SELECT four FROM since") == [(4,)]
    postgres.stop()


def test_a_cluster_that_an_earlier_version_left_running_is_transferred(
    earlier_cluster: Path,
) -> None:
    start_as_earlier_version(earlier_cluster)
    before = postmaster(earlier_cluster)
    postgres = EmbeddedPostgres.start(earlier_cluster)
    assert postmaster(earlier_cluster) != before
    check_ownership(postgres.dsn)
    postgres.stop()


def test_a_cluster_in_use_by_an_earlier_version_is_left_alone(earlier_cluster: Path) -> None:
    dsn = start_as_earlier_version(earlier_cluster)
    cluster = DataDirectory.open(earlier_cluster)
    with cluster.start_lock():
        earlier = cluster.join()
    with pytest.raises(EmbeddedPostgresError, match=r"of an earlier version uses .*: stop it"):
        EmbeddedPostgres.start(earlier_cluster)
    assert execute(dsn, "SELECT version FROM userauth_schema") == [(1,)]
    os.close(earlier)
    postgres = EmbeddedPostgres.start(earlier_cluster)
    check_ownership(postgres.dsn)
    postgres.stop()


def test_a_changed_access_file_is_rewritten(place: Path) -> None:
    folder = place / "postgres"
    EmbeddedPostgres.start(folder).stop()
    (folder / "access.conf").write_text("local all all trust\n", encoding="utf-8")
    postgres = EmbeddedPostgres.start(folder)
    with pytest.raises(psycopg2.OperationalError, match="rejects"):
        execute(postgres.dsn.replace("userauth@", "postgres@"), "SELECT 1")
    postgres.stop()

"""The embedded Postgres, with real processes and real kills."""

import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest

from postgres.data_directory import DataDirectory
from postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from postgres.postmaster import START_SECONDS, STOP_SECONDS
from postgres.socket_directory import choose_socket_directory
from tests.harness.embedded_clusters import (
    NOBODY,
    Member,
    as_ordinary_user,
    end_postgres_below,
    execute,
    postmaster,
    runs,
    starts_and_works,
    wait_for_the_end,
)
from tests.harness.memory_directory import new_directory
from tests.harness.shared_memory import remove_shared_memory
from tests.harness.waiting import wait_until

SECRET = "$userauth-bcrypt-sha384$never-in-a-log"
KEEP = "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 1"


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """Yield a cluster for all tests that do not damage it: initdb takes half a second."""
    with new_directory() as place:
        try:
            EmbeddedPostgres.start(Path(place) / "postgres").stop()
            yield Path(place) / "postgres"
        finally:
            end_postgres_below(Path(place))


@pytest.fixture
def folder(shared: Path) -> Iterator[Path]:
    """Yield the directory of a stopped cluster."""
    wait_for_the_end(shared)
    yield shared
    end_postgres_below(shared)


def test_the_first_start_creates_a_cluster_and_the_next_one_finds_its_data(place: Path) -> None:
    folder = place / "var" / "postgres"
    postgres = EmbeddedPostgres.start(folder)
    assert postgres.directory == folder
    execute(postgres.dsn, "CREATE TABLE kept AS SELECT lower('ÄÖ') AS word")
    assert psutil.Process(postmaster(folder)).uids().effective != 0
    postgres.stop()
    postgres.stop()
    wait_for_the_end(folder)

    postgres = EmbeddedPostgres.start(folder)
    assert execute(postgres.dsn, "SELECT word FROM kept") == [("äö",)]
    postgres.stop()


def test_starts_and_stops_cause_no_fatal_error_in_the_log(place: Path) -> None:
    folder = place / "postgres"
    for _ in range(2):
        EmbeddedPostgres.start(folder).stop()
        wait_for_the_end(folder)
    log = "".join(path.read_text() for path in (folder / "logs").iterdir())
    assert "database system is ready to accept connections" in log
    assert re.findall(r".*(?:FATAL|PANIC):.*", log) == []


def test_the_cluster_is_durable_private_and_off_the_network(folder: Path) -> None:
    postgres = EmbeddedPostgres.start(folder)
    expected = {
        "fsync": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
        "max_connections": "100",
    }
    for name, value in expected.items():
        assert execute(postgres.dsn, f"SHOW {name}") == [(value,)]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / ".s.PGSQL.5432").stat().st_mode) == 0o700
    # Other users may at most traverse its parent directories.
    assert folder.parent.stat().st_mode & 0o066 == 0
    postgres.stop()


def test_starting_and_stopping_an_existing_cluster_waits_for_no_time_limit(folder: Path) -> None:
    begun = time.monotonic()
    postgres = EmbeddedPostgres.start(folder)
    started = time.monotonic()
    postgres.stop()
    # On an idle machine, a hundredth of it.
    assert started - begun < START_SECONDS / 3
    assert time.monotonic() - started < STOP_SECONDS / 3


def test_the_last_process_stops_postgres(folder: Path) -> None:
    first, second = Member(folder), Member(folder)
    assert first.line() == second.line() != ""
    first.leave()
    assert runs(folder)
    second.leave()
    wait_for_the_end(folder)


def test_two_instances_in_one_process_count_as_two(folder: Path) -> None:
    first, second = EmbeddedPostgres.start(folder), EmbeddedPostgres.start(folder)
    first.stop()
    first.stop()
    assert execute(second.dsn, "SELECT 1") == [(1,)]
    second.stop()
    wait_for_the_end(folder)


def test_processes_that_start_simultaneously_share_one_new_cluster(place: Path) -> None:
    folder = place / "postgres"
    members = [Member(folder) for _ in range(4)]
    assert len({member.line() for member in members} - {""}) == 1
    with ThreadPoolExecutor() as threads:
        list(threads.map(Member.leave, members))
    wait_for_the_end(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_postgres_running_for_the_next_one(
    folder: Path, number: signal.Signals
) -> None:
    member = Member(folder)
    execute(member.line(), KEEP)
    server = postmaster(folder)
    member.kill(number)

    postgres = EmbeddedPostgres.start(folder)
    assert postmaster(folder) == server
    assert execute(postgres.dsn, "SELECT * FROM kept") == [(1,)]
    postgres.stop()
    wait_for_the_end(folder)


def test_a_killed_postgres_recovers_at_the_next_start(folder: Path) -> None:
    member = Member(folder)
    dsn = member.line()
    execute(dsn, KEEP)
    with closing(psycopg2.connect(dsn)):
        os.kill(postmaster(folder), signal.SIGKILL)
        postgres = EmbeddedPostgres.start(folder)
    assert execute(postgres.dsn, "SELECT * FROM kept") == [(1,)]
    member.leave()
    assert execute(postgres.dsn, "SELECT 1") == [(1,)]
    postgres.stop()
    wait_for_the_end(folder)


def test_a_postgres_that_another_process_started_again_stays_as_long_as_it_is_used(
    folder: Path,
) -> None:
    server = EmbeddedPostgres.start(folder)
    assert server.is_running()
    os.kill(postmaster(folder), signal.SIGKILL)
    wait_until(lambda: not server.is_running())
    command = Member(folder)
    assert command.line() == server.dsn
    command.leave()
    assert server.is_running()
    assert execute(server.dsn, "SELECT 1") == [(1,)]
    server.stop()
    assert not server.is_running()


def test_a_start_waits_for_the_children_of_a_killed_postgres(folder: Path) -> None:
    member = Member(folder)
    assert member.line()
    children = psutil.Process(postmaster(folder)).children()
    straggler = next(child for child in children if "checkpointer" in child.cmdline()[0])
    straggler.suspend()
    os.kill(postmaster(folder), signal.SIGKILL)
    with ThreadPoolExecutor() as threads:
        start = threads.submit(EmbeddedPostgres.start, folder)
        time.sleep(0.5)
        assert not start.done()
        straggler.resume()
        postgres = start.result(timeout=20)
    member.leave()
    postgres.stop()
    wait_for_the_end(folder)


@pytest.fixture
def crashed(folder: Path) -> Path:
    """Return a directory after a power failure, with lock files of a process that has ended."""
    member = Member(folder)
    assert member.line()
    member.kill()
    end_postgres_below(folder)
    assert (folder / "postmaster.pid").exists()
    return folder


def give_number(folder: Path, number: int) -> None:
    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        _, rest = (folder / name).read_text().split("\n", 1)
        (folder / name).write_text(f"{number}\n{rest}")


def test_a_stale_pid_of_an_unrelated_process_is_ignored(crashed: Path) -> None:
    # Only a process of the same user prevents Postgres from starting. This one is also in the
    # directory.
    owner = crashed.stat().st_uid
    user = owner if os.geteuid() == 0 else None
    with subprocess.Popen(["/bin/sleep", "60"], user=user, cwd=crashed) as unrelated:
        try:
            give_number(crashed, unrelated.pid)
            starts_and_works(crashed)
            assert unrelated.poll() is None
        finally:
            unrelated.kill()


def test_a_stale_pid_of_another_postgres_is_ignored(place: Path, crashed: Path) -> None:
    other = EmbeddedPostgres.start(place / "other")
    give_number(crashed, postmaster(other.directory))
    starts_and_works(crashed)
    assert execute(other.dsn, "SELECT 1") == [(1,)]
    other.stop()


@pytest.mark.parametrize("content", ["", "no number\n"])
def test_a_damaged_postmaster_pid_is_ignored(crashed: Path, content: str) -> None:
    (crashed / "postmaster.pid").write_text(content)
    starts_and_works(crashed)


@pytest.mark.parametrize("initdb_dies_too", [True, False])
def test_an_interrupted_initdb_is_repeated(place: Path, *, initdb_dies_too: bool) -> None:
    folder = place / "postgres"
    member = Member(folder)
    wait_until((folder / ".initdb" / "base").exists)
    children = psutil.Process(member.process.pid).children(recursive=True)
    member.kill()
    if initdb_dies_too:
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children)
        # The next start removes the directory, but not the shared memory.
        remove_shared_memory(folder)
    assert not (folder / "PG_VERSION").exists()
    starts_and_works(folder)
    assert not [path for path in folder.iterdir() if path.name.startswith(".initdb")]


def test_an_interrupted_move_of_a_new_cluster_is_finished(folder: Path) -> None:
    done = folder / ".initdb-done"
    done.mkdir()
    for name in ("base", "global", "postgresql.conf", "PG_VERSION"):
        (folder / name).rename(done / name)
    starts_and_works(folder)
    assert not done.exists()


@pytest.fixture
def far(folder: Path) -> Iterator[Path]:
    """Return a path that is invalid, unless quoted, for a socket, a shell and a list of hosts."""
    far = folder.rename(folder.with_name('it\'s "odd", $(false) `so` ' + 15 * "far away "))
    yield far
    end_postgres_below(far)
    far.rename(folder)


def test_the_path_may_be_long_and_contain_special_characters(far: Path) -> None:
    postgres = EmbeddedPostgres.start(far)
    joined = EmbeddedPostgres.start(far)
    assert joined.dsn == postgres.dsn
    socket_folder = choose_socket_directory(DataDirectory.open(far))
    assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
    assert execute(joined.dsn, "SELECT 1") == [(1,)]
    assert (far / "postmaster.pid").read_text().splitlines()[1] == str(far)
    joined.stop()
    postgres.stop()
    wait_for_the_end(far)
    assert not socket_folder.exists()


def test_a_socket_directory_of_another_user_is_not_used(place: Path, far: Path) -> None:
    planned = choose_socket_directory(DataDirectory.open(far))
    planned.rmdir()
    planned.symlink_to(place)
    try:
        postgres = EmbeddedPostgres.start(far)
        assert execute(postgres.dsn, "SELECT 1") == [(1,)]
        assert not list(place.iterdir())
        postgres.stop()
    finally:
        planned.unlink()


def test_home_and_tmpdir_need_not_exist(folder: Path) -> None:
    member = Member(folder, {"HOME": "/nonexistent", "TMPDIR": "/nonexistent", "PGPORT": "1"})
    assert execute(member.line(), "SELECT 1") == [(1,)]
    member.leave()
    wait_for_the_end(folder)


@pytest.mark.needs("a checkout that other users can read")
def test_postgres_runs_as_an_ordinary_user_and_root_may_join(place: Path) -> None:
    home = place / "home"
    home.mkdir()
    if os.geteuid() == 0:
        place.chmod(0o711)
        os.chown(home, NOBODY, NOBODY)
    folder = home / "postgres"

    def work() -> None:
        postgres = EmbeddedPostgres.start(folder)
        assert psutil.Process(postmaster(folder)).uids().effective == os.geteuid()
        execute(postgres.dsn, KEEP)
        postgres.stop()

    as_ordinary_user(work)
    wait_for_the_end(folder)
    postgres = EmbeddedPostgres.start(folder)
    assert psutil.Process(postmaster(folder)).uids().effective == folder.stat().st_uid
    assert execute(postgres.dsn, "SELECT * FROM kept") == [(1,)]
    as_ordinary_user(lambda: EmbeddedPostgres.start(folder).stop())
    assert runs(folder)
    postgres.stop()
    as_ordinary_user(lambda: starts_and_works(folder))


@pytest.mark.needs("a checkout that other users can read")
def test_the_owner_of_a_foreign_directory_is_named() -> None:
    def work() -> None:
        with pytest.raises(
            EmbeddedPostgresError, match=r"/usr belongs to the user root.* run it as"
        ):
            EmbeddedPostgres.start(Path("/usr"))

    as_ordinary_user(work)


@pytest.mark.needs("a checkout that other users can read")
def test_an_unwritable_parent_directory_is_reported() -> None:
    def work() -> None:
        with pytest.raises(EmbeddedPostgresError, match=r"/usr/postgres.*denied.*DATABASE_URL"):
            EmbeddedPostgres.start(Path("/usr/postgres"))

    as_ordinary_user(work)


def test_values_of_failing_statements_stay_out_of_the_log(folder: Path) -> None:
    postgres = EmbeddedPostgres.start(folder)
    execute(postgres.dsn, "CREATE TABLE t (hash text PRIMARY KEY CHECK (length(hash) < 60), n int)")
    execute(postgres.dsn, "INSERT INTO t VALUES (%s, 1)", SECRET)
    for statement in (
        "INSERT INTO t VALUES (%s, 1)",
        "INSERT INTO t VALUES (repeat(%s, 2), 1)",
        "SELECT %s::int",
        "SELECT nonsense(%s)",
    ):
        with pytest.raises(psycopg2.Error, match=r"duplicate|violates|invalid|not exist"):
            execute(postgres.dsn, statement, SECRET)
    # Postgres reports the statement of a killed backend.
    with ThreadPoolExecutor() as threads, closing(psycopg2.connect(postgres.dsn)) as connection:
        asking = threads.submit(sleep_with, connection, SECRET)
        sleeping = (
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'"
            " AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'"
        )
        wait_until(lambda: execute(postgres.dsn, sleeping))
        ((number,),) = execute(postgres.dsn, sleeping)
        os.kill(int(str(number)), signal.SIGKILL)
        with pytest.raises(psycopg2.OperationalError):
            asking.result()
    wait_until(lambda: answers(postgres.dsn))
    postgres.stop()
    log = "".join(path.read_text() for path in (folder / "logs").iterdir())
    assert "was terminated by signal 9" in log
    assert SECRET not in log + (folder / "startup.log").read_text()


def sleep_with(connection: "psycopg2.extensions.connection", secret: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60), %s", (secret,))


def answers(dsn: str) -> bool:
    try:
        return execute(dsn, "SELECT 1") == [(1,)]
    except psycopg2.OperationalError:
        return False


def test_ctrl_c_in_the_terminal_does_not_reach_postgres(folder: Path) -> None:
    member = Member(folder)
    dsn = member.line()
    os.killpg(member.process.pid, signal.SIGINT)
    assert member.line() == "interrupted"
    assert execute(dsn, "SELECT 1") == [(1,)]
    member.leave()
    wait_for_the_end(folder)


def test_members_in_another_pid_namespace_are_noticed(folder: Path) -> None:
    directory = DataDirectory.open(folder)
    with directory.start_lock():
        assert directory.sees_all_members()
        membership = directory.join()
        assert directory.sees_all_members()
        (folder / "namespace").write_text("pid:[1]", encoding="utf-8")
        assert not directory.sees_all_members()
        os.close(membership)
        assert directory.sees_all_members()


def test_a_directory_with_other_files_stays_unchanged(place: Path) -> None:
    foreign = place / "photos"
    foreign.mkdir(mode=0o755)
    (foreign / "cat.jpeg").touch()
    before = foreign.stat()
    with pytest.raises(EmbeddedPostgresError, match="photos is not empty and contains no Postgres"):
        EmbeddedPostgres.start(foreign)
    after = foreign.stat()
    assert [path.name for path in foreign.iterdir()] == ["cat.jpeg"]
    # Its access time changes whenever it is listed.
    assert after.st_ctime_ns == before.st_ctime_ns
    assert (after.st_uid, after.st_gid, after.st_mode) == (
        before.st_uid,
        before.st_gid,
        before.st_mode,
    )


def test_a_file_instead_of_the_directory_stays_unchanged(place: Path) -> None:
    (place / "postgres").write_text("a letter")
    with pytest.raises(EmbeddedPostgresError, match=r"(File exists|Not a directory).*DATABASE_URL"):
        EmbeddedPostgres.start(place / "postgres")
    assert (place / "postgres").read_text() == "a letter"


def test_data_of_another_postgres_version_stays_unchanged(place: Path) -> None:
    folder = place / "postgres"
    (folder / "base").mkdir(parents=True)
    (folder / "PG_VERSION").write_text("16\n")
    with pytest.raises(
        EmbeddedPostgresError, match=r"contains data of Postgres 16.*docs/upgrade.md"
    ):
        EmbeddedPostgres.start(folder)
    assert (folder / "base").is_dir()


def test_an_existing_empty_directory_is_used(place: Path) -> None:
    folder = place / "postgres"
    folder.mkdir(mode=0o755)
    starts_and_works(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_failed_start_reports_why_and_leaves_nothing_running(folder: Path) -> None:
    configuration = folder / "postgresql.conf"
    before = configuration.read_text()
    configuration.write_text(f"{before}nonsense = on\n")
    try:
        with pytest.raises(
            EmbeddedPostgresError, match=r'does not start in \S+: .*"nonsense".*\. Correct that'
        ):
            EmbeddedPostgres.start(folder)
    finally:
        configuration.write_text(before)
    assert not runs(folder)
    assert not DataDirectory.open(folder).has_members()

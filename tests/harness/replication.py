"""Two Postgres, a primary and its standby, from the programs of the embedded one.

``made_cluster`` creates a stopped cluster with the schema once; ``replicated`` starts two copies of
it, which takes less than a second, so each test can promote the standby of its own pair.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2

from postgres.programs import account_for, find_programs, run
from tests.harness.child_processes import stop
from tests.harness.databases import SCHEMA
from tests.harness.processes import free_port
from tests.harness.sql import run_sql

# The name that the primary knows its standby by.
STANDBY = "standby"
_SECONDS = 20
_OPTIONS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "wal_retrieve_retry_interval=50ms",
)
# For tests; the bench measures without them.
_FAST = ("fsync=off", "autovacuum=off", "shared_buffers=16MB")


class Node:
    """A Postgres in a directory, which accepts connections of all roles on a port of its own."""

    def __init__(self, data: Path, options: Sequence[str] = _FAST) -> None:
        self.data = data
        self._options = options
        self.port = free_port()
        self._account = account_for(data)

    @property
    def url(self) -> str:
        """Return the URL of the database for the role of the server."""
        return f"postgresql://userauth@127.0.0.1:{self.port}/userauth"

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as the superuser."""
        return run_sql(f"postgresql://postgres@127.0.0.1:{self.port}/userauth", statement)

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running cluster, and wait until new sessions have it."""
        self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.sql("SELECT pg_reload_conf()")
        self.wait_for(f"current_setting('{name}') = '{value}'")

    def become_standby(self) -> None:
        """Make a stopped node a standby, which keeps its state unless it follows a primary."""
        (self.data / "standby.signal").touch()

    def follow(self, primary: "Node") -> None:
        """Make a stopped node a standby of another one."""
        with (self.data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
            settings.write(f"primary_conninfo = '{_source(primary)}'\n")
        self.become_standby()

    def start(self) -> None:
        settings = (*_OPTIONS, *self._options, f"port={self.port}")
        options = " ".join(f"-c {each}" for each in settings)
        self._control("start", f"--log={self.data / 'log'}", f"-o {options}")

    def stop(self) -> None:
        """Stop as after a crash, frozen or not."""
        self.thaw()
        self._control("stop", "--mode=immediate")

    def begin_stop(self) -> None:
        """Reject new connections from now on, and stop when the last one ends."""
        self._control("stop", "--mode=smart", "--no-wait")
        with suppress(psycopg2.OperationalError):
            while True:
                self.sql("SELECT")

    def promote(self) -> None:
        self._control("promote")

    def begin_timeline(self, timeline: int) -> None:
        """Let a stopped node continue on a timeline, as after so many promotions."""
        program = str(find_programs() / "pg_resetwal")
        # Beyond the WAL of a new cluster.
        next_file = f"--next-wal-file={timeline:08X}0000000000000100"
        command = [program, f"--pgdata={self.data}", "--force", next_file]
        code, output = run(command, self._account, self.data)
        assert code == 0, output

    @contextmanager
    def acknowledged(self, folder: Path) -> Iterator[None]:
        """Acknowledge the commits of this node, as a new standby that keeps its WAL in a folder."""
        program = str(find_programs() / "pg_receivewal")
        where = (f"--dbname={_source(self)}", f"--directory={folder}")
        command = [program, "--synchronous", "--no-loop", *where]
        receiver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            self.set("synchronous_standby_names", STANDBY)
            self.wait_for("EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
            yield
        finally:
            try:
                # Later commits would wait.
                self.set("synchronous_standby_names", "")
            finally:
                stop(receiver)

    def freeze(self) -> None:
        """Stop every process, so that connections remain open and get no answer."""
        postmaster = self._postmaster()
        postmaster.suspend()
        for process in postmaster.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it has just exited
                process.suspend()

    def thaw(self) -> None:
        """Let every process continue where it was."""
        postmaster = self._postmaster()
        for process in (*postmaster.children(recursive=True), postmaster):
            with suppress(psutil.NoSuchProcess):  # it has just exited
                process.resume()

    def wait_for(self, condition: str) -> None:
        """Wait until a condition in SQL is true."""
        deadline = time.monotonic() + _SECONDS
        while True:
            with suppress(psycopg2.OperationalError):
                if self.sql(f"SELECT {condition}") == [(True,)]:
                    return
            assert time.monotonic() < deadline, condition
            time.sleep(0.01)

    def _postmaster(self) -> psutil.Process:
        return psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))

    def _control(self, action: str, *options: str) -> None:
        program = str(find_programs() / "pg_ctl")
        command = [program, f"--pgdata={self.data}", "--wait", *options, action]
        code, output = run(command, self._account, self.data)
        assert code == 0, output


@dataclass(frozen=True)
class Replicated:
    """A primary, and its synchronous standby."""

    primary: Node
    standby: Node


def made_cluster(folder: Path) -> Path:
    """Create a stopped cluster with the schema, below a folder that others may enter."""
    data = folder / "made"
    data.mkdir(mode=0o700)
    folder.chmod(0o755)
    account = account_for(data)
    shutil.chown(data, account.uid, account.gid)
    initdb = str(find_programs() / "initdb")
    options = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C")
    small = ("--no-sync", "--wal-segsize=1", "--no-instructions")
    code, output = run([initdb, f"--pgdata={data}", *options, *small], account, data)
    assert code == 0, output
    node = Node(data)
    node.start()
    administrator = f"postgresql://postgres@127.0.0.1:{node.port}/postgres"
    run_sql(administrator, "CREATE ROLE userauth LOGIN")
    run_sql(administrator, "CREATE DATABASE userauth OWNER userauth")
    run_sql(node.url, SCHEMA)
    # The copies begin without a recovery.
    node.sql("CHECKPOINT")
    node.stop()
    return data


@contextmanager
def replicated(
    made: Path, folder: Path, *, synchronous: str = STANDBY, options: Sequence[str] = _FAST
) -> Iterator[Replicated]:
    """Run a primary and a standby, in copies of a cluster that ``made_cluster`` has created.

    ``synchronous`` is synchronous_standby_names; the standby follows when the block begins.
    """
    folder.chmod(0o755)
    primary, standby = (_copy(made, folder / name, options) for name in ("primary", "standby"))
    standby.follow(primary)
    try:
        primary.start()
        standby.start()
        primary.wait_for("EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")
        primary.set("synchronous_standby_names", synchronous)
        yield Replicated(primary, standby)
    finally:
        for node in (primary, standby):
            with suppress(AssertionError, FileNotFoundError, psutil.NoSuchProcess):
                node.stop()


@contextmanager
def primaries(made: Path, folder: Path, *timelines: int) -> Iterator[list[Node]]:
    """Run primaries of one cluster, each on a timeline: all but the newest were replaced."""
    folder.chmod(0o755)
    nodes = [_copy(made, folder / str(timeline)) for timeline in timelines]
    try:
        for node, timeline in zip(nodes, timelines, strict=True):
            node.begin_timeline(timeline)
            node.start()
        yield nodes
    finally:
        for node in nodes:
            with suppress(AssertionError, FileNotFoundError, psutil.NoSuchProcess):
                node.stop()


def _source(primary: Node) -> str:
    return f"host=127.0.0.1 port={primary.port} user=postgres application_name={STANDBY}"


def _copy(made: Path, data: Path, options: Sequence[str] = _FAST) -> Node:
    subprocess.run(["/bin/cp", "--archive", str(made), str(data)], check=True)
    return Node(data, options)

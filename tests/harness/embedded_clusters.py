"""Clusters of the embedded Postgres, and the processes that use them."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg2

from postgres.embedded import EmbeddedPostgres
from tests.harness.waiting import wait_until

ROOT_FOLDER = Path(__file__).parents[2]
NOBODY = 65534
LEAVE = "\n"
MEMBER = """
import signal, sys
from pathlib import Path
from postgres.embedded import EmbeddedPostgres
# A shell that put the tests into the background had them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
postgres = EmbeddedPostgres.start(Path(sys.argv[1]))
try:
    print(postgres.dsn, flush=True)
    sys.stdin.readline()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.readline()
postgres.stop()
"""


class Member:
    """Another process that uses the cluster in a directory."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", MEMBER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT_FOLDER,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        self.process.communicate(LEAVE, timeout=20)
        assert self.process.returncode == 0

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=20)
        assert self.process.returncode == -number


def copy_cluster(made: Path, place: Path) -> Path:
    """Copy a stopped cluster into a directory: initdb takes far longer. Return the copy."""
    subprocess.run(["/bin/cp", "--archive", str(made), str(place)], check=True)
    return place / made.name


def postgres_processes(place: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        # It has exited, is a zombie, or its directory was removed.
        with suppress(psutil.Error):
            if process.name() == "postgres" and Path(process.cwd()).is_relative_to(place):
                found.append(process)
    return found


def end_postgres_below(place: Path) -> None:
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(str(place) in argument for argument in process.cmdline()):
                process.kill()
    for process in postgres_processes(place):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(lambda: not postgres_processes(place))


def execute(dsn: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []


def postmaster(folder: Path) -> int:
    return int((folder / "postmaster.pid").read_text().split()[0])


def runs(folder: Path) -> bool:
    return bool(postgres_processes(folder))


def wait_for_the_end(folder: Path) -> None:
    """Wait for the last process of a Postgres: it ends a little after ``pg_ctl stop`` returns."""
    wait_until(lambda: not runs(folder))


def starts_and_works(folder: Path) -> None:
    postgres = EmbeddedPostgres.start(folder)
    try:
        assert execute(postgres.dsn, "SELECT 1") == [(1,)]
    finally:
        postgres.stop()
    wait_for_the_end(folder)


def as_ordinary_user(work: Callable[[], None]) -> None:
    """Run work as a user who is not root, in a fork if we are root."""
    if os.geteuid() != 0:
        work()
        return

    def drop_and_work() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        work()

    process = multiprocessing.get_context("fork").Process(target=drop_and_work)
    process.start()
    process.join()
    assert process.exitcode == 0

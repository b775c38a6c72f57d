"""The creation of a cluster in a data directory, and its transfer to the server role."""

import os
import re
import shutil

from postgres.data_directory import (
    MEMBERS_LOCK,
    NAMESPACE,
    START_LOCK,
    DataDirectory,
    foreign_directory,
)
from postgres.directory_handle import DirectoryHandle
from postgres.programs import EmbeddedPostgresError, last_lines
from postgres.server_role import (
    ACCESS,
    ACCESS_FILE,
    LIST_DATABASES,
    TRANSFER_OWNERSHIP,
    read_databases,
)

# Postgres writes its command line here at each start.
_LAST_START = "postmaster.opts"
_UNFINISHED = ".initdb"
_FINISHED = ".initdb-done"
# The files that an interrupted start can leave without a cluster.
_REMAINS = re.compile(
    rf"{re.escape(START_LOCK)}|{re.escape(MEMBERS_LOCK)}|{re.escape(_UNFINISHED)}"
    rf"|{NAMESPACE}|\.{NAMESPACE}\.(?:[0-9a-f]+\.)?new"
)
_INITDB_OPTIONS = (
    "--username=postgres",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--auth-local=peer",
    "--auth-host=reject",
    "--no-instructions",
    "--set=timezone=UTC",
    "--set=log_timezone=UTC",
)


def create_cluster(directory: DataDirectory, start_lock: int) -> None:
    """Create a cluster if none exists; repeat or finish an interrupted creation.

    The directory may be a mount point, which cannot be renamed into place. The finished cluster is
    therefore moved up entry by entry; PG_VERSION, which marks a cluster as complete, is the last.
    """
    with directory.handle() as handle:
        if handle.has("PG_VERSION"):
            return
        if not handle.has(_FINISHED):
            if any(not _REMAINS.fullmatch(name) for name in handle.names()):
                raise foreign_directory(directory.path)
            _initdb(directory, handle, start_lock)
        with handle.subdirectory(_FINISHED) as finished:
            for name in sorted(finished.names(), key=lambda name: name == "PG_VERSION"):
                if name == "PG_VERSION":
                    handle.sync()
                os.rename(name, name, src_dir_fd=finished.descriptor, dst_dir_fd=handle.descriptor)
        os.rmdir(_FINISHED, dir_fd=handle.descriptor)


def needs_transfer(directory: DataDirectory) -> bool:
    """Return whether a cluster exists whose databases do not all belong to the server role."""
    with directory.handle() as handle:
        return handle.has("PG_VERSION") and not _is_transferred(handle)


def transfer_ownership(directory: DataDirectory, start_lock: int) -> str:
    """Make the server role the owner of the databases if it is not; return an error, or "".

    Postgres must not run. An interrupted transfer is repeated, since the file that marks it as
    complete is written last.
    """
    with directory.handle() as handle:
        if _is_transferred(handle) and handle.read(ACCESS_FILE) == ACCESS:
            return ""
        code, output = directory.as_superuser(LIST_DATABASES, keep=(start_lock,))
        for database in read_databases(output) if code == 0 else ():
            code, output = directory.as_superuser(TRANSFER_OWNERSHIP, database, keep=(start_lock,))
            if code:
                break
        if code:
            return output
        handle.write(ACCESS_FILE, ACCESS, directory.account.uid, directory.account.gid)
    return ""


def _is_transferred(handle: DirectoryHandle) -> bool:
    """Return whether the transfer is complete, and no earlier version has run Postgres since."""
    return handle.has(ACCESS_FILE) and ACCESS_FILE in (handle.read(_LAST_START) or "")


def _initdb(directory: DataDirectory, handle: DirectoryHandle, start_lock: int) -> None:
    if handle.has(_UNFINISHED):
        shutil.rmtree(_UNFINISHED, dir_fd=handle.descriptor)
    # An initdb that outlives a killed server keeps the lock, so that no other process interferes.
    target = str(directory.path / _UNFINISHED)
    code, output = directory.run("initdb", *_INITDB_OPTIONS, target, keep=(start_lock,))
    if code:
        shutil.rmtree(_UNFINISHED, ignore_errors=True, dir_fd=handle.descriptor)
        raise EmbeddedPostgresError(
            f"initdb could not create the Postgres data in {directory.path}: {last_lines(output)}."
            " Correct that, name another directory in database.embedded_dir, or set DATABASE_URL."
        )
    handle.rename(_UNFINISHED, _FINISHED)

"""A backup: everything in our tables as of one moment, while others write."""

import hashlib
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from psycopg2.extensions import make_dsn, parse_dsn

from db.errors import BackupError, SchemaMissing
from db.rows import NewEvent
from db.schema import FIND_OURS, TABLES, check_version
from postgres.archives import ENVIRONMENT, Manifest, copy
from postgres.piped_programs import ProgramFailed, piped
from postgres.plain_connection import PlainConnection, plain_connection
from postgres.programs import MAJOR_VERSION, SYSTEM_PATH, find_programs

_LOCK_WAIT_MILLISECONDS = 60_000
_DEBIAN = Path("/usr/lib/postgresql")


def write_backup(
    dsn: str, environ: Mapping[str, str], target: BinaryIO, event: NewEvent
) -> Manifest:
    """Write a backup of a database, after an event that tells of it; return what is in it.

    ``environ`` is where libpq finds what the dsn leaves open.
    """
    with plain_connection(dsn) as connection:
        version, namespace, tables = _find_schema(connection)
        if "events" in tables:
            connection.insert_event(event, version)
        pg_dump = _choose_program(connection)
        # What is counted here is what pg_dump sees: it joins the snapshot.
        with connection.transaction("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"):
            snapshot = str(connection.value("SELECT pg_export_snapshot()"))
            rows = _count_rows(connection, namespace, tables)
            command, environment = _connection_of(connection, dsn, environ)
            size, sha256 = _dump(
                pg_dump,
                [
                    command,
                    f"--snapshot={snapshot}",
                    *(f"--table={_quoted(namespace)}.{_quoted(name)}" for name in rows),
                ],
                environment,
                target,
            )
    manifest = Manifest(event.at, version, namespace, rows, size, sha256)
    target.write(manifest.line())
    return manifest


def _find_schema(connection: PlainConnection) -> tuple[int, str, Sequence[str]]:
    """Return the version of the schema, the namespace that it is in, and the tables there."""
    found = connection.fetch_all(FIND_OURS, (list(TABLES),))
    if not found:
        raise SchemaMissing("The database holds nothing of this server, so nothing to back up.")
    version = int(connection.value("SELECT version FROM userauth_schema"))
    check_version(version)
    return version, str(found[0][0]), [str(row[1]) for row in found]


def _count_rows(
    connection: PlainConnection, namespace: str, tables: Sequence[str]
) -> dict[str, int]:
    return {
        name: int(
            connection.value(
                f"SELECT count(*) FROM {_quoted(namespace)}.{name}"  # noqa: S608 - our own names
            )
        )
        for name in tables
    }


def _dump(
    program: Path, arguments: list[str], environment: Mapping[str, str], target: BinaryIO
) -> tuple[int, str]:
    """Write an archive; return its length and SHA-256."""
    digest = hashlib.sha256()

    def write(chunk: bytes) -> None:
        digest.update(chunk)
        target.write(chunk)

    options = (
        "--format=custom",
        "--encoding=UTF8",
        "--no-password",
        "--no-privileges",
        "--strict-names",
        f"--lock-wait-timeout={_LOCK_WAIT_MILLISECONDS}",
    )
    try:
        with piped(program, [*options, *arguments], environment) as output:
            size = copy(output, write)
    except ProgramFailed as error:
        raise BackupError(f"pg_dump did not finish ({error}).") from None
    return size, digest.hexdigest()


def _connection_of(
    connection: PlainConnection, dsn: str, environ: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """Return how pg_dump connects: its argument, and an environment with the password in it.

    Others see the arguments of a process, but not its environment.
    """
    # The cluster of the snapshot, where the host has several addresses.
    parts = parse_dsn(dsn) | {"target_session_attrs": "read-write"}
    if "sslpassword" in parts:
        raise BackupError(
            "pg_dump cannot be told sslpassword but where others see it: use a key without one."
        )
    environment = {name: value for name, value in environ.items() if _is_libpqs(name)} | ENVIRONMENT
    password = parts.pop("password", None)
    if password is not None:
        environment["PGPASSWORD"] = password
    lenient = {"allow", "prefer", "disable"}
    if connection.raw.info.ssl_in_use:
        mode = parts.get("sslmode", environment.get("PGSSLMODE", "prefer"))
        # What the server sends encrypted is not to go in the clear because somebody interferes.
        parts["sslmode"] = "require" if mode in lenient else mode
    # The names of psycopg2 and libpq are the same.
    return f"--dbname={make_dsn(**parts)}", environment


def _is_libpqs(name: str) -> bool:
    return name.startswith("PG") or name == "HOME"


def _choose_program(connection: PlainConnection) -> Path:
    """Return a pg_dump that can read this cluster, over a connection such as ours.

    The one that came along has no TLS in it; without a word it would go without.
    """
    major = connection.raw.server_version // 10_000
    is_encrypted = bool(connection.raw.info.ssl_in_use)
    if not is_encrypted and major <= int(MAJOR_VERSION):
        return find_programs() / "pg_dump"
    for program in _system_programs():
        if _major_version(program) >= major:
            return program
    reason = "has no TLS" if is_encrypted else "is older"
    raise BackupError(
        f"The cluster is Postgres {major}, and pg_dump {MAJOR_VERSION}, which came along,"
        f" {reason}: install postgresql-client-{major}, or back it up where it runs."
    )


def _system_programs() -> Iterator[Path]:
    yield from sorted(_DEBIAN.glob("*/bin/pg_dump"), reverse=True)
    for folder in ("/usr/local/bin", *SYSTEM_PATH.split(":")):
        if (Path(folder) / "pg_dump").exists():
            yield Path(folder) / "pg_dump"


def _major_version(program: Path) -> int:
    said = subprocess.run(  # noqa: S603 - a program of the system
        [str(program), "--version"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(match[1]) if match else 0


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'

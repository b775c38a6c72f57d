"""Writes a backup: a consistent snapshot of all tables, while other sessions write."""

import hashlib
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from psycopg2.extensions import make_dsn

from db.dsn import parse_url
from db.errors import BackupError, SchemaMissing
from db.rows import NewEvent
from db.schema import FIND_OWN_TABLES, TABLES, check_version
from postgres.archives import ENVIRONMENT, Manifest, copy
from postgres.plain_connection import TO_THE_PRIMARY, PlainConnection, plain_connection
from postgres.program_output import ProgramFailed, stream_output
from postgres.programs import MAJOR_VERSION, SYSTEM_PATH, find_programs

_LOCK_WAIT_MILLISECONDS = 60_000
# pg_dump of a partitioned table does not include its partitions.
_FIND_PARTITIONS = """
SELECT c.relname
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class p ON p.oid = i.inhparent
WHERE p.relname = 'events' AND p.relnamespace = to_regnamespace(quote_ident(%s))
"""
_DEBIAN = Path("/usr/lib/postgresql")


def write_backup(
    dsn: str, environ: Mapping[str, str], target: BinaryIO, event: NewEvent
) -> Manifest:
    """Insert an event, and write a backup of a database; return its manifest.

    ``environ`` supplies libpq with parameters that are missing in the DSN.
    """
    with plain_connection(dsn) as connection:
        version, namespace, tables = _find_schema(connection)
        if "events" in tables:
            connection.insert_event(event, version)
        pg_dump = _choose_program(connection)
        # pg_dump uses the same snapshot, so the row counts match.
        with connection.transaction("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"):
            snapshot = _export_snapshot(connection, namespace, tables)
            rows = _count_rows(connection, namespace, tables)
            connection_option, environment = _pg_dump_connection(connection, dsn, environ)
            size, sha256 = _dump(
                pg_dump,
                [
                    connection_option,
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
    """Return the version of the schema, its namespace, and the tables in it."""
    found = connection.fetch_all(FIND_OWN_TABLES, (list(TABLES),))
    if not found:
        raise SchemaMissing(
            "The database contains no data of this server, so there is nothing to back up."
        )
    version = int(connection.value("SELECT version FROM userauth_schema"))
    check_version(version)
    return version, str(found[0][0]), [str(row[1]) for row in found]


def _export_snapshot(connection: PlainConnection, namespace: str, tables: Sequence[str]) -> str:
    """Return a snapshot of the transaction; until its end, no partition of events is dropped."""
    if "events" in tables:
        # Before the snapshot, which sees the partitions that exist then.
        connection.execute(f"LOCK TABLE {_quoted(namespace)}.events IN ACCESS SHARE MODE")
    return str(connection.value("SELECT pg_export_snapshot()"))


def _count_rows(
    connection: PlainConnection, namespace: str, tables: Sequence[str]
) -> dict[str, int]:
    """Return the number of rows of each table and partition."""
    count = f"SELECT count(*) FROM ONLY {_quoted(namespace)}."
    partitions = [str(row[0]) for row in connection.fetch_all(_FIND_PARTITIONS, (namespace,))]
    return {name: int(connection.value(count + _quoted(name))) for name in (*tables, *partitions)}


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
        with stream_output(program, [*options, *arguments], environment) as output:
            size = copy(output, write)
    except ProgramFailed as error:
        raise BackupError(f"pg_dump did not finish: {error}.") from None
    return size, digest.hexdigest()


def _pg_dump_connection(
    connection: PlainConnection, dsn: str, environ: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """Return the option with which pg_dump connects, and an environment with the password.

    Other users can see the arguments of a process, but not its environment.
    """
    # The snapshot exists on the primary only.
    parts = {**parse_url(dsn), **TO_THE_PRIMARY}
    if "sslpassword" in parts:
        raise BackupError(
            "pg_dump takes sslpassword only where other users can see it: use a key without a"
            " password."
        )
    environment = {
        name: value for name, value in environ.items() if _is_read_by_libpq(name)
    } | ENVIRONMENT
    password = parts.pop("password", None)
    if password is not None:
        environment["PGPASSWORD"] = password
    lenient = {"allow", "prefer", "disable"}
    if connection.raw.info.ssl_in_use:
        mode = parts.get("sslmode", environment.get("PGSSLMODE", "prefer"))
        # An attacker must not be able to downgrade a connection that the server encrypts.
        parts["sslmode"] = "require" if mode in lenient else mode
    # psycopg2 and libpq use the same names.
    return f"--dbname={make_dsn(**parts)}", environment


def _is_read_by_libpq(name: str) -> bool:
    return name.startswith("PG") or name == "HOME"


def _choose_program(connection: PlainConnection) -> Path:
    """Return a pg_dump that supports this cluster, and TLS if our connection uses it.

    The embedded one has no TLS; it would silently connect without it.
    """
    major = connection.raw.server_version // 10_000
    is_encrypted = bool(connection.raw.info.ssl_in_use)
    if not is_encrypted and major <= int(MAJOR_VERSION):
        return find_programs() / "pg_dump"
    for program in _system_programs():
        if _major_version(program) >= major:
            return program
    reason = "does not support TLS" if is_encrypted else "is older"
    raise BackupError(
        f"The cluster is Postgres {major}, and the embedded pg_dump {MAJOR_VERSION} {reason}:"
        f" install postgresql-client-{major}, or back it up where it runs."
    )


def _system_programs() -> Iterator[Path]:
    yield from sorted(_DEBIAN.glob("*/bin/pg_dump"), reverse=True)
    for directory in ("/usr/local/bin", *SYSTEM_PATH.split(":")):
        if (Path(directory) / "pg_dump").exists():
            yield Path(directory) / "pg_dump"


def _major_version(program: Path) -> int:
    completed = subprocess.run(
        [str(program), "--version"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    match = re.search(r"\(PostgreSQL\) (\d+)", completed.stdout)
    return int(match[1]) if match else 0


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'

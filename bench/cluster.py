"""The Postgres cluster of a run, with a database for each server under test."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from bench.paths import CLUSTER
from postgres.data_directory import DataDirectory
from postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from postgres.server_role import ROLE

# Privileges to prepare the databases, which a server does not need.
MAY_PREPARE = f"""
ALTER ROLE {ROLE} CREATEDB;

GRANT pg_checkpoint TO {ROLE};

GRANT SET ON PARAMETER session_replication_role TO {ROLE};

"""


@dataclass(frozen=True)
class Recipe:
    """The statements that create a database, and their parameters.

    A database that was created with the same statements is reused. The parameters are computed only
    if it is created: hashing takes long.
    """

    database: str
    statements: Sequence[str]
    parameters: Callable[[], dict[str, object]]
    # Removes the rows that a measurement added.
    restore: str = ""

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256("\0".join(self.statements).encode()).hexdigest()


@dataclass(frozen=True)
class Cluster:
    """A running Postgres."""

    dsn: str
    socket_folder: str
    socket_port: str

    def database_url(self, database: str) -> str:
        """Return the URL of a database."""
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{database}"))

    def version(self) -> str:
        """Return the version of Postgres."""
        with closing(_connect(self.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            return str((cursor.fetchone() or ("?",))[0])

    def prepare(self, recipe: Recipe) -> str:
        """Create the database of a recipe unless it exists; return its URL."""
        url = self.database_url(recipe.database)
        if self._fingerprint(recipe.database) != recipe.fingerprint:
            self._create(recipe, url)
        elif recipe.restore:
            with closing(_connect(url)) as connection, connection.cursor() as cursor:
                cursor.execute(recipe.restore)
                cursor.execute("VACUUM ANALYZE")
        return url

    def drop(self, recipe: Recipe) -> None:
        """Drop the database of a recipe."""
        name = sql.Identifier(recipe.database)
        with closing(_connect(self.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def _fingerprint(self, database: str) -> str | None:
        with closing(_connect(self.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
                (database,),
            )
            row = cursor.fetchone()
            return None if row is None else row[0]

    def _create(self, recipe: Recipe, url: str) -> None:
        print(f"preparing the database {recipe.database} (once) …", flush=True)
        parameters = recipe.parameters()
        name = sql.Identifier(recipe.database)
        self.drop(recipe)
        with closing(_connect(self.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(name))
        with closing(_connect(url)) as connection, connection.cursor() as cursor:
            # The rows need no checks, and a crash may lose them: the database is created again.
            cursor.execute("SET session_replication_role = replica")
            cursor.execute("SET synchronous_commit = off")
            # For sorting fifty million rows and building their indexes.
            cursor.execute("SET work_mem = '1GB'")
            cursor.execute("SET maintenance_work_mem = '1GB'")
            for statement in recipe.statements:
                # Without %( there are no parameters, and a percent sign must not be interpreted.
                cursor.execute(statement, parameters if "%(" in statement else None)
            cursor.execute("VACUUM ANALYZE")
            # Checkpoint now, not during a measurement.
            cursor.execute("CHECKPOINT")
            comment = sql.SQL("COMMENT ON DATABASE {} IS {}")
            # Last, so that an interrupted preparation starts over.
            cursor.execute(comment.format(name, sql.Literal(recipe.fingerprint)))


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run the cluster in var/bench, which keeps the prepared databases between runs."""
    EmbeddedPostgres.start(CLUSTER).stop()
    code, output = DataDirectory.open(CLUSTER).as_superuser(MAY_PREPARE)
    if code:
        raise EmbeddedPostgresError(f"The cluster in {CLUSTER} cannot be prepared: {output}")
    embedded = EmbeddedPostgres.start(CLUSTER)
    try:
        options = parse_qs(urlsplit(embedded.dsn).query)
        yield Cluster(embedded.dsn, options["host"][0], options["port"][0])
    finally:
        embedded.stop()


def _connect(url: str) -> "psycopg2.extensions.connection":
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection

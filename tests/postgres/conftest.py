"""Directories of clusters, and a database for restores."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.databases import new_database
from tests.harness.embedded_clusters import end_postgres_below
from tests.harness.memory_directory import new_directory


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a directory; afterwards stop any Postgres that still runs below it."""
    with new_directory() as folder:
        try:
            yield Path(folder)
        finally:
            end_postgres_below(Path(folder))


@pytest.fixture
def empty(postgres: str) -> Iterator[str]:
    """Create an empty database."""
    with new_database(postgres, "restored") as dsn:
        yield dsn

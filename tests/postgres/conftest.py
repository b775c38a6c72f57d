"""Fixtures for tests of the embedded Postgres."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.embedded_clusters import end_postgres_below


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a directory; afterwards stop any Postgres that still runs below it."""
    # Not tmp_path, whose parent any other pytest makes private again.
    place = Path(tempfile.mkdtemp(prefix="embedded-"))
    try:
        yield place
    finally:
        end_postgres_below(place)
        shutil.rmtree(place)

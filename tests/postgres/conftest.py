"""What tests of the embedded Postgres share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.embedded_clusters import end_postgres_below


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a folder; afterwards end whatever Postgres still runs below it."""
    # Not tmp_path: its parent becomes private again whenever another pytest starts.
    place = Path(tempfile.mkdtemp(prefix="embedded-"))
    try:
        yield place
    finally:
        end_postgres_below(place)
        shutil.rmtree(place)

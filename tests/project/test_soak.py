"""The soak runs, and finds no fault."""

import sys
from pathlib import Path

import pytest

from tests.harness.child_processes import last_lines, running


@pytest.mark.long
@pytest.mark.timeout(420)
def test_a_short_soak_finds_no_fault(tmp_path: Path) -> None:
    log = tmp_path / "log"
    # SIGTERM, which it gets if it takes too long, stops its servers and its Postgres as well.
    with running([sys.executable, "-m", "soak", "--minutes=0.5", "--clients=40"], log) as soak:
        output, _ = soak.communicate(timeout=360)
    assert soak.returncode == 0, output + last_lines(log)

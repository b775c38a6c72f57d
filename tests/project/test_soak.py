"""The soak runs, and finds no fault."""

import subprocess
import sys

import pytest

from tests.harness.configuration import ROOT


@pytest.mark.long
def test_a_short_soak_finds_no_fault() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "soak", "--minutes=0.5", "--clients=40"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr

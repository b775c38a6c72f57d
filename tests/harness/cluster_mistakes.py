"""The script that writes the files of a cluster, called with mistakes."""

import pytest

from deploy.cluster.configure import main
from tests.harness.configuration import ROOT

PLAN = ROOT / "deploy" / "cluster" / "one-machine.toml"
PATH = "an absolute path of letters, digits, spaces and / . _ + -"


def lines_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    """Run the script with a mistake; return what it writes to standard error."""
    assert main([str(each) for each in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()

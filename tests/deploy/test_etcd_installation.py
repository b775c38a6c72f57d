"""Which versions of etcd deploy/cluster/install-etcd.sh accepts, with programs that only answer."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.configuration import ROOT

SCRIPT = ROOT / "deploy" / "cluster" / "install-etcd.sh"
INSTALLS = 9


@pytest.mark.parametrize("version", ["3.4.31", "3.4.38", "3.5.13", "3.5.16", "3.6.0", "3.10.1"])
def test_an_etcd_without_the_defect_is_kept(tmp_path: Path, version: str) -> None:
    assert install(tmp_path, version) == 0


@pytest.mark.parametrize("version", ["3.3.25", "3.4.23", "3.4.30", "3.5.4", "3.5.12", ""])
def test_an_etcd_that_revokes_leases_after_a_pause_is_replaced(
    tmp_path: Path, version: str
) -> None:
    assert install(tmp_path, version) == INSTALLS


def install(folder: Path, version: str) -> int:
    """Run the script where etcd has a version; return its exit code, of apt-get if it calls it."""
    if version:
        program(folder / "etcd", f"echo 'etcd Version: {version}'")
    program(folder / "apt-get", f"exit {INSTALLS}")
    ended = subprocess.run(
        ["/bin/sh", str(SCRIPT)],
        env={"PATH": f"{folder}:/usr/bin:/bin"} if version else {"PATH": without_etcd(folder)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("", "")
    return ended.returncode


def program(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
    file.chmod(0o755)


def get_path(name: str) -> str:
    found = shutil.which(name)
    assert found
    return found


def without_etcd(folder: Path) -> str:
    """Return a PATH with the programs that the script calls, but no etcd."""
    for name in ("sed", "sort"):
        (folder / name).symlink_to(get_path(name))
    return str(folder)

"""What a start as root changes on the machine, when several processes start at once."""

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness.configuration import ROOT

PROCESSES = 8
TOGETHER = f"""
import sys
from multiprocessing import get_context
from pathlib import Path
from postgres.data_directory import DataDirectory

fork = get_context("fork")
barrier = fork.Barrier({PROCESSES})

def start(path):
    barrier.wait()
    return DataDirectory.open(Path(path)).account.uid

with fork.Pool({PROCESSES}) as pool:
    print(*pool.map(start, sys.argv[1:], chunksize=1))
"""
UNSHARE = ("unshare", "--mount", "/bin/sh", "-c")
# In mounts of their own, /etc and useradd are those of the test.
OWN_MOUNTS = (
    'mount --bind "$0/etc" /etc && mount --bind "$0/useradd" /usr/sbin/useradd && exec "$@"'
)
# Long enough for each of the processes to look for the user meanwhile.
SLOW_USERADD = """#!/bin/sh
echo started >> {0}/runs
sleep 0.2
exec {0}/useradd-of-the-system "$@"
"""
OWNERS = range(4711, 4711 + PROCESSES)

pytestmark = pytest.mark.needs("root")


def open_together(paths: Sequence[Path], inside: Sequence[str] = ()) -> list[str]:
    """Open data directories, as many at once as there are processes; return the ids of users."""
    command = [*inside, sys.executable, "-c", TOGETHER, *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def copy_etc_without_the_user(copy: Path) -> None:
    shutil.copytree("/etc", copy, symlinks=True)
    for name in ("passwd", "group", "shadow", "gshadow"):
        lines = (copy / name).read_text("utf-8").splitlines(keepends=True)
        others = (line for line in lines if not line.startswith("pgserver:"))
        (copy / name).write_text("".join(others), encoding="utf-8")


@pytest.mark.needs("mount namespaces")
def test_processes_that_start_simultaneously_create_one_user(place: Path) -> None:
    place.chmod(0o755)
    copy_etc_without_the_user(place / "etc")
    shutil.copy("/usr/sbin/useradd", place / "useradd-of-the-system")
    (place / "useradd").write_text(SLOW_USERADD.format(place), encoding="utf-8")
    (place / "useradd").chmod(0o755)
    folders = [place / str(number) for number in range(PROCESSES)]
    assert len(set(open_together(folders, (*UNSHARE, OWN_MOUNTS, str(place))))) == 1
    assert (place / "runs").read_text("utf-8") == "started\n"
    assert "pgserver:" in (place / "etc" / "passwd").read_text("utf-8")


def test_users_whose_servers_start_simultaneously_all_get_access(place: Path) -> None:
    place.chmod(0o755)
    homes = [place / str(number) for number in range(20)]
    folders = [home / str(owner) for home in homes for owner in OWNERS]
    for home in homes:
        home.mkdir(mode=0o700)
    for folder, owner in zip(folders, len(homes) * list(OWNERS), strict=True):
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, owner)
    open_together(folders)
    for home in homes:
        entries = struct.iter_unpack("<HHi", os.getxattr(home, "system.posix_acl_access")[4:])
        assert {uid for tag, _, uid in entries if tag == 0x02} == set(OWNERS)

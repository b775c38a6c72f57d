"""The units for systemd: valid, restricted, and with comments."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.configuration import ROOT
from tests.harness.programs import get_program
from tests.harness.units import BACKUP, SERVICE, UNITS


def as_it_would_be_here(folder: Path) -> list[str]:
    """Copy the units, with the paths of this checkout."""
    copies = []
    for unit in UNITS:
        # In a command, a space separates arguments.
        python = sys.executable.replace(" ", r"\x20")
        text = unit.read_text("utf-8").replace("/opt/userauth/.venv/bin/python", python)
        copy = folder / unit.name.replace("@.", "@01.")
        copy.write_text(text.replace("=/opt/userauth\n", f"={ROOT}\n"), encoding="utf-8")
        copies.append(str(copy))
    return copies


@pytest.mark.needs("systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    ended = subprocess.run(
        [get_program("systemd-analyze"), "verify", "--man=no", *as_it_would_be_here(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(("unit", "most"), [(SERVICE, 2.0), (BACKUP, 2.5)])
def test_a_service_has_a_low_exposure_level(unit: Path, most: float) -> None:
    ended = subprocess.run(
        [get_program("systemd-analyze"), "security", "--offline=true", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    level = re.search(rf"Overall exposure level for {unit.name}: ([0-9.]+)", ended.stdout)
    assert level is not None
    assert float(level[1]) <= most


def switches_of(unit: Path) -> set[str]:
    _, _, section = unit.read_text("utf-8").partition("[Service]\n")
    section, _, _ = section.partition("[Install]")
    return {line for line in section.splitlines() if line and not line.startswith("#")}


def test_the_backup_has_the_restrictions_of_the_server() -> None:
    _, _, barriers = SERVICE.read_text("utf-8").partition("# The restrictions below")
    barriers, _, _ = barriers.partition("[Install]")
    wanted = {line for line in barriers.splitlines()[1:] if "=" in line and line[0] != "#"}
    # These would hide a Postgres that the other unit has started.
    wanted -= {"PrivateUsers=yes", "ProtectProc=invisible"}
    assert len(wanted) > 20
    assert wanted <= switches_of(BACKUP)
    assert "ReadWritePaths=/var/lib/userauth /var/backups/userauth" in switches_of(BACKUP)


def test_the_backup_gets_only_the_secrets_that_it_needs() -> None:
    handed = {line for line in switches_of(BACKUP) if line.startswith("LoadCredential=")}
    names = ("DATABASE_URL", "USERAUTH_DATABASE__DIRECT_URL")
    assert handed == {f"LoadCredential={name}:/etc/userauth/credentials/{name}" for name in names}


@pytest.mark.parametrize("unit", [SERVICE, BACKUP])
def test_a_service_limits_memory_and_tasks_and_writes_no_core_dump(unit: Path) -> None:
    names = {line.partition("=")[0] for line in switches_of(unit)}
    assert names >= {"MemoryMax", "TasksMax", "LimitCORE"}


def test_systemd_never_interrupts_a_migration() -> None:
    assert "TimeoutStartSec=infinity" in switches_of(SERVICE)


def test_each_directive_of_the_service_has_a_comment() -> None:
    _, _, section = SERVICE.read_text("utf-8").partition("[Service]\n")
    section, _, _ = section.partition("[Install]")
    before, switches = "", 0
    for line in section.splitlines():
        if line and not line.startswith("#"):
            is_more_of_the_same = before.startswith(line.partition("=")[0].removesuffix("File"))
            assert before.startswith("#") or is_more_of_the_same, line
            switches += 1
        before = line
    assert switches > 40

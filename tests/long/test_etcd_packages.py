"""deploy/cluster/install-etcd.sh on Debian 12, whose own etcd has a defect, and on Debian 13."""

import re
from collections.abc import Iterator

import pytest

from tests.harness.machine import Machine, new_machine

pytestmark = [
    pytest.mark.long,
    pytest.mark.serial,
    pytest.mark.needs("debootstrap", "git"),
    # The first use of a release makes its tree.
    pytest.mark.timeout(900),
]
SCRIPT = "/root/userauth/deploy/cluster/install-etcd.sh"
SOURCES = "/etc/apt/sources.list"


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Boot a machine and install etcd on it."""
    with new_machine(request.param) as machine:
        machine.boot()
        machine.run("sh", SCRIPT, seconds=300)
        yield machine


def test_an_etcd_without_the_defect_is_installed_once(machine: Machine) -> None:
    version = machine.run("etcd", "--version").stdout.splitlines()[0]
    assert re.fullmatch(r"etcd Version: 3\.5\.(1[3-9]|[2-9]\d)", version)
    again = machine.run("sh", SCRIPT)
    assert (again.stdout, again.stderr) == ("", "")


def test_nothing_else_comes_from_another_release(machine: Machine) -> None:
    upgrade = machine.run("apt-get", "--simulate", "full-upgrade").stdout
    assert not re.search(r"^Inst ", upgrade, re.MULTILINE)
    assert "etcd" not in machine.run("apt-get", "--simulate", "autoremove").stdout


def test_the_machine_can_still_be_upgraded_to_the_next_release(machine: Machine) -> None:
    release = "deb http://deb.debian.org/debian trixie main\n"
    is_newest = "trixie" in machine.run("cat", SOURCES).stdout
    machine.write(SOURCES, release)
    machine.run("apt-get", "-qq", "update")
    upgrade = machine.run("apt-get", "--simulate", "full-upgrade").stdout
    upgraded = re.search(r"^Inst base-files ", upgrade, re.MULTILINE)
    assert (upgraded is None) == is_newest

"""The number of available CPUs."""

import os
from pathlib import Path

import pytest

from ops.cpus import available_cpus


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="ascii")
    return root


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path) == 8
    write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"})
    assert available_cpus(tmp_path) == 8


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("50000 100000", 1), ("100000 100000", 1), ("250000 100000", 2), ("1600000 100000", 8)],
)
def test_a_quota_of_cgroup_v2_counts_in_whole_cpus(tmp_path: Path, quota: str, cpus: int) -> None:
    files = {"proc/self/cgroup": "0::/system.slice/userauth.service\n"}
    files["sys/fs/cgroup/system.slice/userauth.service/cpu.max"] = f"{quota}\n"
    assert available_cpus(write(tmp_path, files)) == cpus


def test_the_smallest_quota_of_the_parents_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/outer/inner\n",
        "sys/fs/cgroup/cpu.max": "max 100000\n",
        "sys/fs/cgroup/outer/cpu.max": "200000 100000\n",
        "sys/fs/cgroup/outer/inner/cpu.max": "400000 100000\n",
    }
    assert available_cpus(write(tmp_path, files)) == 2


def test_in_a_container_the_mount_counts_where_the_path_is_that_of_the_host(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/docker/0123abcd\n",
        "sys/fs/cgroup/cpu.max": "300000 100000\n",
    }
    assert available_cpus(write(tmp_path, files)) == 3


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_a_quota_of_cgroup_v1_counts(tmp_path: Path, mount: str) -> None:
    directory = f"sys/fs/cgroup/{mount}/app"
    files = {
        "proc/self/cgroup": "5:memory:/app\n4:cpu,cpuacct:/app\n1:name=systemd:/app\n",
        f"{directory}/cpu.cfs_quota_us": "200000\n",
        f"{directory}/cpu.cfs_period_us": "100000\n",
    }
    assert available_cpus(write(tmp_path, files)) == 2
    (tmp_path / directory / "cpu.cfs_quota_us").write_text("-1\n", encoding="ascii")
    assert available_cpus(tmp_path) == 8


def test_a_file_in_another_format_does_not_count(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "unlimited\n"}
    assert available_cpus(write(tmp_path, files)) == 8

"""How many CPUs this process may use: its affinity and the quota of its cgroups."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath


def available_cpus(root: Path = Path("/")) -> int:
    """Return the number of CPUs, at least 1; part of a CPU does not count.

    If threads used more than the quota, the event loop would be stopped as well. ``root`` is the
    directory that contains proc and sys.
    """
    return max(1, min([_usable_cpus(), *map(int, _quotas(root))]))


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS has no affinity


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quota, in CPUs, of each cgroup that this process is in."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _each(root / "sys/fs/cgroup", path, _quota_v2)
        elif "cpu" in controllers.split(","):
            for name in ("cpu", controllers):
                yield from _each(root / "sys/fs/cgroup" / name, path, _quota_v1)


def _each(mount: Path, path: str, quota_of: Callable[[Path], float | None]) -> Iterator[float]:
    """Yield the quotas of a cgroup and of its ancestors.

    In a container, the path may be that of the host, where only the mount itself is visible.
    """
    group = PurePosixPath(path.lstrip("/"))
    for each in (group, *group.parents):
        try:
            quota = quota_of(mount / each)
        except (OSError, ValueError):
            continue
        if quota is not None:
            yield quota


def _quota_v2(directory: Path) -> float | None:
    quota, period = (directory / "cpu.max").read_text(encoding="ascii").split()
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(directory: Path) -> float | None:
    quota = int((directory / "cpu.cfs_quota_us").read_text(encoding="ascii"))
    period = int((directory / "cpu.cfs_period_us").read_text(encoding="ascii"))
    return quota / period if quota > 0 else None

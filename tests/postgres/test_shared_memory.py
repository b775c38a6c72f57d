"""The shared memory of a killed Postgres."""

from pathlib import Path

from tests.harness.embedded_clusters import Member, end_postgres_below, postmaster
from tests.harness.memory_directory import SHARED_MEMORY, new_directory


def existing_segments() -> set[str]:
    """Return the names of segments in /dev/shm, and the identifiers of those of System V."""
    lines = Path("/proc/sysvipc/shm").read_text(encoding="utf-8").splitlines()[1:]
    return {path.name for path in SHARED_MEMORY.iterdir()} | {line.split()[1] for line in lines}


def segments_of(number: int) -> set[str]:
    """Return the names and the identifiers of the segments that a process maps."""
    lines = Path(f"/proc/{number}/maps").read_text(encoding="utf-8").splitlines()
    mapped = [line.split() for line in lines]
    names = {Path(fields[-1]).name for fields in mapped if str(SHARED_MEMORY) in fields[-1]}
    return names | {fields[4] for fields in mapped if fields[-2].startswith("/SYSV")}


def test_the_shared_memory_of_a_killed_postgres_is_removed_with_its_directory() -> None:
    with new_directory() as folder:
        data = Path(folder) / "data"
        member = Member(data)
        assert member.line()
        left = segments_of(postmaster(data))
        member.kill()
        end_postgres_below(data)
        assert len(left) >= 2
        assert left <= existing_segments()
    assert not left & existing_segments()

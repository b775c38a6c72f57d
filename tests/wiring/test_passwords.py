"""How many threads hash passwords."""

import pytest

from tests.harness.configuration import settings_with
from wiring.passwords import open_hasher


@pytest.mark.parametrize(
    ("cpus", "processes", "workers", "expected"),
    [
        (8, 1, 0, 8),
        (8, 2, 0, 4),
        (8, 3, 0, 2),
        # More processes than CPUs.
        (2, 4, 0, 1),
        (200, 2, 0, 64),
        # A number in the settings is that of each process.
        (8, 2, 5, 5),
    ],
)
def test_the_processes_of_a_machine_share_its_cpus(
    monkeypatch: pytest.MonkeyPatch, cpus: int, processes: int, workers: int, expected: int
) -> None:
    monkeypatch.setattr("wiring.passwords.available_cpus", lambda: cpus)
    settings = settings_with(
        DATABASE__URL="postgresql://127.0.0.1/users",
        SERVER__PROCESSES=processes,
        PASSWORDS__WORKERS=workers,
    )
    hasher = open_hasher(settings, None)
    assert hasher.queue.workers == expected
    hasher.close()

"""The checks at the end of a soak."""

from pathlib import Path

import pytest

from soak import final_check
from soak.final_check import check_servers
from soak.fleet import SIZE, Database, running_fleet
from soak.tally import Tally


def test_the_memory_of_servers_that_are_not_watched_is_checked(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = Tally()
    with running_fleet([Database(dsn)] * SIZE, f"folder:{tmp_path}/mail", tmp_path) as fleet:
        check_servers(fleet, tally)
        assert list(tally.shown_faults()) == []
        monkeypatch.setattr(final_check, "MAX_MEMORY_KIB", 1)
        check_servers(fleet, tally)
    assert tally.faults == SIZE
    assert all("KiB" in fault for fault in tally.shown_faults())

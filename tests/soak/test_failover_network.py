"""The network of a soak of failovers, and the report of a run without one."""

import os

import pytest

from soak.cluster import SoakError
from soak.failover.__main__ import without_network
from soak.failover.events import EVENTS
from soak.failover.network import NetworkUnavailableError, running_network
from soak.failover.run import Plan


def test_an_event_that_needs_a_network_is_left_out_and_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["kill-node", "cut-network", "switchover"]
    plan = Plan([EVENTS[name] for name in names], clients=1, seed=1)
    assert without_network(plan, "") == (plan, [])
    kept, lines = without_network(plan, "only root can create one")
    assert [event.name for event in kept.events] == ["kill-node", "switchover"]
    assert lines == ["NOT TESTED: cut-network: no network of the nodes: only root can create one"]
    assert capsys.readouterr().out.splitlines() == lines


def test_a_run_of_nothing_else_fails() -> None:
    with pytest.raises(SoakError, match="No event is left"):
        without_network(Plan([EVENTS["cut-network"]], clients=1, seed=1), "only root")


def test_an_unprivileged_user_has_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NetworkUnavailableError, match="only root"), running_network(["n1"]):
        pass

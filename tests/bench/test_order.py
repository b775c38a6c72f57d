"""What the bench compares is measured in varying order."""

from collections.abc import Sequence
from unittest.mock import MagicMock

import pytest

from bench.dataset import Credentials
from bench.groups import connections, peers, timing
from bench.groups.beside import Beside
from bench.imported import SCHEMES
from bench.load.wrk import Workload
from bench.order import in_turn, shuffled
from bench.run import QUICK, Run
from bench.targets import Target


def test_every_second_round_is_in_reverse() -> None:
    assert [in_turn("abc", number) for number in range(3)] == [
        ["a", "b", "c"],
        ["c", "b", "a"],
        ["a", "b", "c"],
    ]


def test_a_random_order_depends_on_its_seed_only() -> None:
    numbers = range(100)
    assert shuffled(numbers, "one") == shuffled(numbers, "one") != shuffled(numbers, "two")
    assert sorted(shuffled(numbers, "one")) == [*numbers]


@pytest.fixture
def run() -> MagicMock:
    """Return a run that measures nothing."""
    found = MagicMock(spec=Run, schedule=QUICK)
    found.compare.side_effect = lambda workloads, *_: [MagicMock() for _ in workloads]
    found.rounds.return_value = iter(range(2))
    return found


def targets() -> list[Target]:
    return [Target("one", 1, 1), Target("another", 2, 2)]


def test_every_second_round_goes_from_many_connections_to_one(run: MagicMock) -> None:
    workloads = [Workload(target, MagicMock()) for target in targets()]
    for number in range(2):
        connections.measure_round(run, MagicMock(), workloads, number)
    measured = [call.args[1] for call in run.compare.call_args_list]
    assert measured == [*connections.CONNECTIONS, *reversed(connections.CONNECTIONS)]


def test_every_second_round_of_the_peers_beside_logins_is_in_reverse(
    run: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def measure(_run: Run, target: Target, _tokens: Sequence[str], _clients: int) -> Beside:
        measured.append(target.name)
        return MagicMock(spec=Beside)

    monkeypatch.setattr(peers, "measure_beside", measure)
    peers.measure_all_beside(run, targets(), {each.name: [] for each in targets()})
    assert measured == ["one", "another", "another", "one"]


def test_rejections_are_measured_in_random_order_and_reported_in_one_order(
    run: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fail(_run: Run, _server: Target, credentials: Credentials) -> float:
        tried.append(credentials.email.partition(".")[0].partition("@")[0])
        return 1.0

    monkeypatch.setattr(timing, "_fail_login", fail)
    times = timing.measure_round(run, targets()[0], 0)
    schemes = ["", timing.OWN_SCHEME, *SCHEMES]
    assert [*times] == [(scheme, form) for form in timing.FORMS for scheme in schemes]
    assert {len(each) for each in times.values()} == {timing.ATTEMPTS[QUICK.name]}
    assert len({*tried[:: len(schemes)]}) > 1

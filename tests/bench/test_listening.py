"""Programs of the bench that do not start."""

import sys
from pathlib import Path

import pytest

from bench.cluster import Cluster
from bench.load.nginx import running_nginx
from bench.peers.launch import Peer, running_peer
from bench.processes import BenchError

FAILING = [sys.executable, "-c", "raise SystemExit('No module named uvicorn')"]
REASON = "did not start: No module named uvicorn"

# They do not wait for a program that has exited.
pytestmark = pytest.mark.timeout(30)


@pytest.fixture(autouse=True)
def _logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.processes.LOGS", tmp_path)


def test_a_peer_that_does_not_start_is_an_error_with_its_last_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.peers.launch._environment", lambda _: Path())
    monkeypatch.setattr("bench.peers.launch._prepare_database", lambda *_: "")
    peer = Peer("pocketbase", "a peer", lambda _programs, _port: FAILING)
    running = running_peer(peer, Cluster("", "", ""))
    with pytest.raises(BenchError, match=f"^pocketbase {REASON}$"), running:
        pass


def test_nginx_that_does_not_start_is_an_error_with_its_last_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.load.nginx.nginx_command", lambda *_, **__: FAILING)
    with pytest.raises(BenchError, match=f"^nginx-1 {REASON}$"), running_nginx("nginx-1", [8000]):
        pass

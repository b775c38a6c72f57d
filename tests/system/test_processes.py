"""Several server processes on one machine, each with a listening socket of its own."""

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.harness.processes import free_port, free_ports, run_to_the_end, running_server
from tests.harness.scraping import read, read_now

REQUESTS = 40
OK = '{"status":"ok"}\n'


def instance(number: int, variables: Mapping[str, str]) -> dict[str, str]:
    return {**variables, "USERAUTH_SERVER__INSTANCE": f"{number:02}"}


def requests_of(metrics_port: int) -> float:
    text = read_now(f"http://127.0.0.1:{metrics_port}/metrics")
    return read(text).value("userauth_requests_total", route="/health/live")


def test_processes_share_a_port_and_have_metrics_of_their_own(dsn: str, tmp_path: Path) -> None:
    port, metrics = free_port(), free_ports(2)
    variables = {
        "DATABASE_URL": dsn,
        "PORT": str(port),
        "USERAUTH_SERVER__REUSE_PORT": "true",
        "USERAUTH_SERVER__PROCESSES": "2",
        "USERAUTH_METRICS__PORT": str(metrics),
    }
    live = f"http://127.0.0.1:{port}/health/live"
    with (
        running_server(instance(1, variables), tmp_path / "1") as first,
        running_server(instance(2, variables), tmp_path / "2") as second,
    ):
        assert first.url == second.url == f"http://127.0.0.1:{port}"
        # Each over a connection of its own, which the kernel assigns to one of the processes.
        assert {read_now(live) for _ in range(REQUESTS)} == {OK}
        counts = [requests_of(metrics + number) for number in (1, 2)]
        assert sum(counts) == REQUESTS
        assert min(counts) > 0
        assert first.stop() == 0
        assert {read_now(live) for _ in range(REQUESTS)} == {OK}
        assert requests_of(metrics + 2) == counts[1] + REQUESTS


@pytest.mark.parametrize("shares", ["true", "false"])
def test_a_port_is_shared_only_if_both_processes_agree(
    dsn: str, tmp_path: Path, shares: str
) -> None:
    port = str(free_port())
    variables = {"DATABASE_URL": dsn, "PORT": port, "USERAUTH_SERVER__REUSE_PORT": shares}
    with running_server(variables, tmp_path / "log"):
        variables["USERAUTH_SERVER__REUSE_PORT"] = "false"
        ended = run_to_the_end(**variables)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"userauth: cannot listen on 127.0.0.1:{port}: Address already in use."
        " Stop the process that uses it, or set HOST or PORT.\n"
    )


def test_a_process_adds_its_number_to_the_port(dsn: str, tmp_path: Path) -> None:
    before = free_ports(1)
    variables = instance(1, {"DATABASE_URL": dsn, "PORT": str(before)})
    with running_server(variables, tmp_path / "log") as server:
        assert server.url == f"http://127.0.0.1:{before + 1}"
        assert httpx.get(f"{server.url}/health/ready", timeout=30).status_code == 200

"""Servers forked from a preloaded process, as tests start them."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.harness.configuration import ROOT
from tests.harness.preloaded import start
from tests.harness.processes import environment, run_to_the_end

STARTER = """
import os, sys
from tests.harness.preloaded import start
process = start([], sys.stderr, os.environ)
print(process.pid, process.stdout.readline(), flush=True)
sys.stdin.read()
"""


def test_a_server_that_exits_before_its_pid_is_read_has_its_pid_and_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    send = socket.send_fds

    def send_and_wait(control: socket.socket, buffers: list[bytes], fds: list[int]) -> int:
        monkeypatch.undo()
        sent = send(control, buffers, fds)
        # This server starts later and runs longer, so the first has exited.
        assert run_to_the_end("--check").returncode == 0
        return sent

    monkeypatch.setattr(socket, "send_fds", send_and_wait)
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        process = start(["--nonsense"], log, environment())
    assert process.stdout is not None
    process.stdout.close()
    assert process.pid <= int(Path("/proc/sys/kernel/pid_max").read_text(encoding="utf-8"))
    assert process.wait(20) == 2


def test_servers_stop_when_the_process_that_started_them_is_killed(dsn: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment(DATABASE_URL=dsn),
    ) as starter:
        assert starter.stdout is not None
        number, greeting = starter.stdout.readline().split(maxsplit=1)
        assert b"http://" in greeting
        server = psutil.Process(int(number))
        preloaded = server.parent()
        starter.send_signal(signal.SIGKILL)
    assert preloaded is not None
    assert not psutil.wait_procs([server, preloaded], timeout=40)[1]

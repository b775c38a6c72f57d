"""A failed test or measurement leaves no database, message, thread or process behind."""

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from bench.groups.mail import MESSAGES, due_messages
from bench.load.hanging_relay import hanging_relay
from tests.harness import child_processes
from tests.harness.databases import new_database
from tests.harness.machine import Machine
from tests.harness.processes import free_port, listening
from tests.harness.sql import run_sql
from tests.harness.waiting import wait_until

COUNT_MESSAGES = "SELECT count(*) FROM messages"
IGNORE_SIGTERM = """
import signal, socket, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
signal.pause()
"""


def test_a_database_of_a_test_that_fails_is_dropped(postgres: str) -> None:
    with pytest.raises(ZeroDivisionError), new_database(postgres, "of_a_failed_test"):
        raise ZeroDivisionError
    named = "SELECT 1 FROM pg_database WHERE datname = 'of_a_failed_test'"
    assert run_sql(postgres, named) == []


def test_the_messages_of_a_measurement_that_fails_are_deleted(dsn: str) -> None:
    with pytest.raises(ZeroDivisionError), due_messages(dsn):
        assert run_sql(dsn, COUNT_MESSAGES) == [(MESSAGES,)]
        raise ZeroDivisionError
    assert run_sql(dsn, COUNT_MESSAGES) == [(0,)]


def test_a_relay_that_hangs_leaves_no_thread() -> None:
    before = {*threading.enumerate()}
    with hanging_relay() as url:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        with socket.create_connection(address, 20) as client:
            assert client.recv(100).startswith(b"220 ")
            # One accepts connections, and one serves this connection.
            assert len({*threading.enumerate()} - before) == 2
    wait_until(lambda: {*threading.enumerate()} <= before)


def test_a_program_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", IGNORE_SIGTERM, str(port)])
    try:
        with pytest.raises(subprocess.TimeoutExpired), listening(process, port):
            monkeypatch.setattr(child_processes, "STOP_SECONDS", 1)
        assert process.wait(20) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()


def test_a_machine_that_does_not_power_off_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Mock()
    monkeypatch.setattr(Machine, "run", Mock(side_effect=subprocess.TimeoutExpired("systemctl", 1)))
    monkeypatch.setattr(Machine, "cut_power", killed)
    machine = Machine(tmp_path / "root")
    monkeypatch.setattr(machine, "_booted", Mock())
    machine.power_off()
    killed.assert_called_once_with()

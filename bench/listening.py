"""Waits for programs that do not print their port."""

import subprocess

from bench.processes import BenchError, last_lines
from tests.harness.processes import wait_for_listener


def wait_until_listening(process: "subprocess.Popen[str]", port: int, log: str) -> None:
    """Wait until a process that was started listens; raises BenchError with the end of its log."""
    try:
        wait_for_listener(process, port)
    except OSError as error:
        raise BenchError(f"{log} did not start: {last_lines(log)}") from error

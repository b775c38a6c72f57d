"""Servers forked from a process that has imported the server.

The imports and the templates of pages take most of the CPU time of a start, and tests start
hundreds of servers. A forked server is a process like any other: it has its own session,
environment, streams and exit code. Only its command line is that of this program.
"""

import atexit
import gc
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

_ROOT = Path(__file__).parents[2]
_REQUEST_BYTES = 1 << 17
_STREAMS = 3
_STOP_SECONDS = 10


class ForkedProcess:
    """A forked server, with the methods of ``subprocess.Popen`` that tests use."""

    def __init__(self, args: Sequence[str], stdout: IO[str], reports: int) -> None:
        self.args = args
        self.pid = _read_number(reports)
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = stdout
        self.returncode: int | None = None
        self._reports = reports

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        return self._read_code(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when the process has exited; raises TimeoutExpired."""
        code = self._read_code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has exited."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """Kill the process."""
        self.send_signal(signal.SIGKILL)

    def _read_code(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._reports], [], [], timeout)[0]:
            self.returncode = _read_number(self._reports)
            os.close(self._reports)
        return self.returncode


def _read_number(reports: int) -> int:
    """Read one line: the next one may follow at any time."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(reports, 1)
        if not byte:
            raise ChildProcessError("the process that servers are forked from has exited")
        line += byte
    return int(line)


def _write_number(report: int, number: int) -> None:
    with suppress(BrokenPipeError):  # the tests were killed
        os.write(report, b"%d\n" % number)


def start(arguments: Sequence[str], log: IO[str], environment: Mapping[str, str]) -> ForkedProcess:
    """Start a server whose standard error goes to a log, and its output to a pipe."""
    output, stdout = os.pipe()
    reports, report = os.pipe()
    with open(os.devnull, "rb") as stdin:  # noqa: PTH123 - not a file
        descriptors = [stdin.fileno(), stdout, log.fileno(), report]
        request = json.dumps({"arguments": arguments, "environment": dict(environment)})
        socket.send_fds(_parent(), [request.encode()], descriptors)
    os.close(stdout)
    os.close(report)
    return ForkedProcess(["server.py", *arguments], os.fdopen(output), reports)


@cache
def _parent() -> socket.socket:
    """Start the process that servers are forked from; it exits together with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.harness.preloaded", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=_ROOT,
            start_new_session=True,
        )
    atexit.register(_stop_parent, ours, process)
    return ours


def _stop_parent(control: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    control.close()
    process.wait()


class _Parent:
    """Forks servers on request, and reports their exit codes."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._reports: dict[int, int] = {}
        self._wake, wake = os.pipe()
        for descriptor in (self._wake, wake):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)

    def run(self) -> list[str] | None:
        """Serve until the tests end; return, in a forked server, its arguments."""
        control = self._control.fileno()
        while True:
            ready, _, _ = select.select([control, self._wake], [], [])
            if self._wake in ready:
                self._report_exits()
            if control in ready:
                request, descriptors, _, _ = socket.recv_fds(
                    self._control, _REQUEST_BYTES, _STREAMS + 1
                )
                if not request:
                    self._end_servers()
                    return None
                *streams, report = descriptors
                if (pid := os.fork()) == 0:
                    return self._become_server(json.loads(request), streams)
                self._reports[pid] = report
                for descriptor in streams:
                    os.close(descriptor)
                _write_number(report, pid)

    def _report_exits(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake, 4096)
        for pid in list(self._reports):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                report = self._reports.pop(pid)
                _write_number(report, os.waitstatus_to_exitcode(status))
                os.close(report)

    def _end_servers(self) -> None:
        """Stop the servers that still run, such as those of tests that were killed."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + _STOP_SECONDS
            for pid in self._reports:
                os.kill(pid, number)
            while self._reports and (remaining := deadline - time.monotonic()) > 0:
                select.select([self._wake], [], [], remaining)
                self._report_exits()

    def _become_server(self, request: dict[str, object], streams: Sequence[int]) -> list[str]:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        self._control.detach()
        os.closerange(_STREAMS, 1024)
        environment = request["environment"]
        arguments = request["arguments"]
        assert isinstance(environment, dict)
        assert isinstance(arguments, list)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        random.seed()
        return arguments


def _serve(control: int) -> int:
    # The tests import this module, and not the server.
    from server import main  # noqa: PLC0415
    from tests.harness.built_once import build, built_once  # noqa: PLC0415
    from tests.harness.configuration import settings_with  # noqa: PLC0415

    with built_once():
        build(settings_with())
        # A server that traversed these objects would copy the memory that it shares with us.
        gc.collect()
        gc.freeze()
        arguments = _Parent(socket.socket(fileno=control)).run()
        return 0 if arguments is None else main(arguments, os.environ)


if __name__ == "__main__":
    sys.exit(_serve(int(sys.argv[1])))

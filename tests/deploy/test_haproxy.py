"""The file of HAProxy, with the real one: no connection leads to a node that was replaced."""

import signal
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.cluster.configure import write_cluster
from deploy.cluster.plan import Plan, Proxy, read_plan
from tests.harness.configuration import ROOT
from tests.harness.processes import free_port, listening
from tests.harness.programs import get_program

pytestmark = pytest.mark.needs("haproxy")
SECONDS = 60


class Server(socketserver.ThreadingTCPServer):
    """Handles each connection in a thread that does not prevent the end of the tests."""

    daemon_threads = True


class Node:
    """Stands for a node: one port sends its name to each connection, the other is Patroni's."""

    def __init__(self, name: str, *, is_primary: bool) -> None:
        self.name = name
        self.is_primary = is_primary
        self.is_silent = False
        self.is_stopped = threading.Event()
        node = self

        class Postgres(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.sendall(node.name.encode())
                with suppress(ConnectionError):
                    self.request.recv(1)

        class Patroni(BaseHTTPRequestHandler):
            def do_OPTIONS(self) -> None:
                if node.is_silent:
                    node.is_stopped.wait()
                    return
                self.send_response(200 if node.is_primary else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.postgres = Server(("127.0.0.1", 0), Postgres)
        self.patroni = ThreadingHTTPServer(("127.0.0.1", 0), Patroni)

    @contextmanager
    def running(self) -> Iterator[None]:
        servers = (self.postgres, self.patroni)
        threads = [threading.Thread(target=s.serve_forever, args=(0.02,)) for s in servers]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.is_stopped.set()
            for server, thread in zip(servers, threads, strict=True):
                server.shutdown()
                thread.join()
                server.server_close()


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    """Run a primary and a standby."""
    primary, standby = Node("n1", is_primary=True), Node("n2", is_primary=False)
    with primary.running(), standby.running():
        yield primary, standby


def plan_for(*nodes: Node) -> Plan:
    plan = read_plan(ROOT / "deploy/cluster/one-machine.toml")
    return replace(
        plan,
        nodes=[
            replace(
                each,
                name=node.name,
                postgres=node.postgres.server_address[1],
                patroni=node.patroni.server_address[1],
            )
            for each, node in zip(plan.nodes, nodes, strict=False)
        ],
        haproxy=Proxy("127.0.0.1", free_port()),
    )


@contextmanager
def running_haproxy(plan: Plan, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run HAProxy as Debian's unit does: a master, which replaces its worker at a reload."""
    write_cluster(plan, folder)
    command = [get_program("haproxy"), "-W", "-f", str(folder / "haproxy.cfg")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    with listening(process, plan.haproxy.port):
        yield process


@contextmanager
def connected(plan: Plan) -> Iterator[tuple[socket.socket | None, str]]:
    """Connect through HAProxy; yield the connection and its node, or None if it is rejected."""
    with ExitStack() as stack:
        try:
            address = ("127.0.0.1", plan.haproxy.port)
            connection = stack.enter_context(socket.create_connection(address, SECONDS))
            name = connection.recv(2).decode()
        except ConnectionResetError:
            name = ""
        yield (connection, name) if name else (None, "")


@contextmanager
def connected_to(plan: Plan, name: str) -> Iterator[socket.socket]:
    """Connect until the connection leads to a node."""
    deadline = time.monotonic() + SECONDS
    while True:
        with connected(plan) as (connection, found):
            if connection is not None and found == name:
                yield connection
                return
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def wait_for_the_end(connection: socket.socket) -> None:
    """Wait until HAProxy has ended a connection; a timeout is an error."""
    with suppress(ConnectionResetError):
        assert connection.recv(1) == b""


def test_the_connections_to_a_node_end_when_another_one_is_the_primary(
    nodes: tuple[Node, Node], tmp_path: Path
) -> None:
    plan = plan_for(*nodes)
    with running_haproxy(plan, tmp_path), connected_to(plan, "n1") as connection:
        nodes[0].is_primary, nodes[1].is_primary = False, True
        wait_for_the_end(connection)
        with connected_to(plan, "n2"):
            pass


def test_a_reload_ends_the_connections_of_the_worker_that_stops_checking_nodes(
    nodes: tuple[Node, Node], tmp_path: Path
) -> None:
    plan = plan_for(*nodes)
    with running_haproxy(plan, tmp_path) as master, connected_to(plan, "n1") as connection:
        master.send_signal(signal.SIGUSR2)
        wait_for_the_end(connection)
        with connected_to(plan, "n1") as later:
            nodes[0].is_primary, nodes[1].is_primary = False, True
            wait_for_the_end(later)


def test_after_a_start_no_connection_leads_to_a_replaced_node_whose_patroni_is_silent(
    nodes: tuple[Node, Node], tmp_path: Path
) -> None:
    nodes[0].is_silent = nodes[1].is_primary = True
    plan = plan_for(*nodes)
    with running_haproxy(plan, tmp_path):
        found: list[str] = []
        deadline = time.monotonic() + SECONDS
        # HAProxy takes turns among the nodes that it regards as primaries.
        while found.count("n2") < 4:
            assert time.monotonic() < deadline
            with connected(plan) as (_, name):
                found.append(name)
        assert "n1" not in found

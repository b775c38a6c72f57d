"""The cluster of a run: three nodes behind HAProxy."""

import base64
import json
import os
import pwd
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import cast

import psycopg2

from deploy.cluster.configure import database_url, write_cluster
from deploy.cluster.passwords import Passwords
from deploy.cluster.plan import Node as Place
from deploy.cluster.plan import Plan, Proxy
from postgres.programs import account_for
from soak.cluster import SoakError
from soak.failover.network import Network
from soak.failover.node import Node, Programs
from tests.harness.processes import free_port, listening
from tests.harness.programs import get_program

TTL_SECONDS = 20
START_SECONDS = 180
NAMES = ("n1", "n2", "n3")
_HOST = "127.0.0.1"
_HEALTHY = Counter(leader=1, sync_standby=1, replica=1)
_STANDBYS = (
    "SELECT count(*), count(*) FILTER (WHERE sync_state = 'sync')"
    " FROM pg_stat_replication WHERE state = 'streaming'"
)
_RUNNING = {"running", "streaming"}


class PatroniCluster:
    """Three nodes of which one is the primary, and one its synchronous standby."""

    def __init__(
        self, plan: Plan, passwords: Passwords, nodes: Sequence[Node], network: Network | None
    ) -> None:
        self.nodes = nodes
        self._network = network
        self.dsn = database_url(plan, passwords)
        self.proxy_dsn = (
            f"postgresql://userauth:{passwords.userauth}@{plan.haproxy.address}"
            f":{plan.haproxy.port}/userauth"
        )
        self._superuser = passwords.superuser
        self._restapi = passwords.restapi

    def superuser_dsn(self, node: Node) -> str:
        """Return the URL of the database on one node."""
        place = f"{node.place.address}:{node.place.postgres}"
        return f"postgresql://postgres:{self._superuser}@{place}/userauth?connect_timeout=2"

    def wait_until_healthy(self) -> Node:
        """Wait until the primary has a synchronous standby and another one; return the primary."""
        deadline = time.monotonic() + START_SECONDS
        before = None
        while time.monotonic() < deadline:
            leader = self._find_leader()
            if leader is not None and leader is before:
                return leader
            # Twice in a row, since Patroni reports a state that may have changed.
            before = leader
            time.sleep(1)
        logs = "\n".join(f"{node.name}: {_last_lines(node.log)}" for node in self.nodes)
        raise SoakError(f"The cluster is not healthy after {START_SECONDS} s.\n{logs}")

    def switch_over(self, leader: Node) -> None:
        """Ask Patroni for another primary."""
        self._ask(leader, "/switchover", {"leader": leader.name})

    def cut(self, node: Node) -> None:
        """Disconnect a node from the others, and from every client."""
        self._get_network().cut(node.name)

    def heal(self, node: Node) -> None:
        """Reconnect a node."""
        self._get_network().heal(node.name)

    def _get_network(self) -> Network:
        if self._network is None:
            raise SoakError("The nodes have no network of their own.")
        return self._network

    def _find_leader(self) -> Node | None:
        for node in self.nodes:
            leader = self._leader(self._members(node))
            if leader is not None and self._is_followed(leader):
                return leader
        return None

    def _is_followed(self, leader: Node) -> bool:
        """Return whether both standbys follow the primary, one of them synchronously."""
        dsn = self.superuser_dsn(leader)
        with (
            suppress(psycopg2.Error),
            closing(psycopg2.connect(dsn)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(_STANDBYS)
            return cursor.fetchone() == (len(self.nodes) - 1, 1)
        return False

    def _leader(self, members: Sequence[dict[str, str]]) -> Node | None:
        """Return the primary if every member is healthy."""
        well = [member for member in members if member["state"] in _RUNNING]
        if Counter(member["role"] for member in well) != _HEALTHY:
            return None
        names = {member["name"] for member in well if member["role"] == "leader"}
        return next(node for node in self.nodes if node.name in names)

    def _members(self, node: Node) -> list[dict[str, str]]:
        with suppress(OSError, ValueError, KeyError):
            document = json.loads(self._ask(node, "/cluster"))
            return cast(list[dict[str, str]], document["members"])
        return []

    def _ask(self, node: Node, path: str, body: dict[str, str] | None = None) -> bytes:
        credentials = base64.b64encode(f"patroni:{self._restapi}".encode()).decode()
        request = urllib.request.Request(
            f"http://{node.place.address}:{node.place.patroni}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        timeout = 2 if body is None else TTL_SECONDS * 2
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            return cast(bytes, response.read())


@contextmanager
def running_patroni(
    directory: Path, patroni: str, network: Network | None
) -> Iterator[PatroniCluster]:
    """Run a new cluster in a directory; ``patroni`` is the program.

    Without a network, all nodes have the same IP address.
    """
    plan = _plan(directory / "data", network)
    directory.chmod(0o755)
    data = Path(plan.data_dir)
    data.mkdir()
    account = account_for(data)
    owner = pwd.getpwuid(account.uid).pw_name if os.geteuid() == 0 else None
    passwords = write_cluster(plan, directory / "etc", owner)
    programs = Programs(get_program("etcd"), patroni, account)
    nodes = [_node(place, directory, programs, network) for place in plan.nodes]
    cluster = PatroniCluster(plan, passwords, nodes, network)
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.stop)
            node.start()
        cluster.wait_until_healthy()
        haproxy = [get_program("haproxy"), "-db", "-f", str(directory / "etc" / "haproxy.cfg")]
        log = stack.enter_context((directory / "haproxy.log").open("ab"))
        process = subprocess.Popen(haproxy, stdout=log, stderr=log, start_new_session=True)
        stack.enter_context(listening(process, plan.haproxy.port))
        yield cluster


def _node(place: Place, directory: Path, programs: Programs, network: Network | None) -> Node:
    """Return a node with an empty folder for its data."""
    folder = directory / "data" / place.name
    folder.mkdir(mode=0o700)
    shutil.chown(folder, programs.account.uid, programs.account.gid)
    return Node(place, directory / "etc" / place.name, folder, programs, network)


def _plan(data: Path, network: Network | None) -> Plan:
    return Plan(
        cluster="soak",
        bin_dir=str(Path(get_program("initdb")).parent),
        data_dir=str(data),
        clients=[network.range if network else f"{_HOST}/32"],
        nodes=[_place(name, network.address(name) if network else _HOST) for name in NAMES],
        haproxy=Proxy(_HOST, free_port()),
        pgbouncer=Proxy(_HOST, free_port()),
        ttl=TTL_SECONDS,
    )


def _place(name: str, address: str) -> Place:
    return Place(name, address, free_port(), free_port(), free_port(), free_port())


def _last_lines(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return " | ".join(text.splitlines()[-6:])

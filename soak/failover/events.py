"""The events that the primary's node suffers in a run, and how it continues afterwards."""

import signal
from dataclasses import dataclass

import psutil

from soak.failover.node import Node, Part
from soak.failover.patroni import PatroniCluster

_ALL = tuple(Part)


@dataclass(frozen=True)
class Event:
    """A signal to programs of the primary's node, or a cut of its network; else a switchover."""

    name: str
    parts: tuple[Part, ...] = ()
    number: signal.Signals = signal.SIGKILL
    cuts_network: bool = False
    # Patroni starts Postgres again on the same node.
    may_stay: bool = False

    def strike(self, cluster: PatroniCluster, node: Node) -> list[psutil.Process]:
        """Trigger the event; return the processes that got the signal."""
        if self.cuts_network:
            cluster.cut(node)
        elif not self.parts:
            cluster.switch_over(node)
        return node.send(self.parts, self.number)

    def undo(self, cluster: PatroniCluster, node: Node, reached: list[psutil.Process]) -> None:
        """Let the node continue: heal its network, resume frozen programs, start killed ones."""
        if self.cuts_network:
            cluster.heal(node)
        if self.number is signal.SIGSTOP:
            for process in reached:
                if process.is_running():
                    process.send_signal(signal.SIGCONT)
        node.start()


EVENTS = {
    event.name: event
    for event in (
        Event("kill-node", _ALL),
        Event("kill-postgres", (Part.POSTGRES,), may_stay=True),
        Event("kill-patroni", (Part.PATRONI,)),
        Event("freeze-node", _ALL, signal.SIGSTOP),
        Event("freeze-postgres", (Part.POSTGRES,), signal.SIGSTOP),
        Event("freeze-patroni", (Part.PATRONI,), signal.SIGSTOP),
        Event("cut-network", cuts_network=True),
        Event("switchover"),
    )
}

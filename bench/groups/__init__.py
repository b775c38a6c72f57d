"""What is measured together: each group takes a session and returns its findings."""

from collections.abc import Callable, Mapping

from bench.findings import Findings
from bench.groups import (
    basic,
    beside,
    connections,
    fairness,
    flood,
    log_ins,
    memory,
    peers,
    purge,
    rows,
    timing,
)
from bench.session import Session

GROUPS: Mapping[str, Callable[[Session], Findings]] = {
    "connections": connections.measure,
    "rows": rows.measure,
    "purge": purge.measure,
    "purge-counts": purge.measure_counts,
    "log-ins": log_ins.measure,
    "beside-32": beside.measure_32,
    "beside-200": beside.measure_200,
    "timing": timing.measure,
    "flood": flood.measure,
    "fairness": fairness.measure,
    "basic": basic.measure,
    "memory": memory.measure,
    "peers": peers.measure,
}
# Minutes of preparation and a gigabyte: only where asked for.
ONLY_FULL = frozenset({"rows", "purge", "purge-counts"})
ONLY_PEERS = frozenset({"peers"})

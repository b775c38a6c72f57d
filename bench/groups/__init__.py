"""Groups of measurements: each takes a run and returns its results."""

from collections.abc import Callable, Mapping

from bench.groups import (
    basic,
    beside,
    connections,
    fairness,
    flood,
    growth,
    logins,
    mail,
    memory,
    pages,
    peers,
    pooler,
    processes,
    purge,
    reads,
    reset,
    rows,
    timing,
)
from bench.results import Results
from bench.run import Run

GROUPS: Mapping[str, Callable[[Run], Results]] = {
    "connections": connections.measure,
    "rows": rows.measure,
    "growth": growth.measure,
    "reads": reads.measure,
    "processes": processes.measure,
    "pooler": pooler.measure,
    "purge": purge.measure,
    "purge-counts": purge.measure_counts,
    "logins": logins.measure,
    "beside-32": beside.measure_32,
    "beside-200": beside.measure_200,
    "timing": timing.measure,
    "reset": reset.measure,
    "flood": flood.measure,
    "fairness": fairness.measure,
    "basic": basic.measure,
    "mail": mail.measure,
    "pages": pages.measure,
    "memory": memory.measure,
    "peers": peers.measure,
}
# These need a gigabyte and minutes of preparation; growth needs 60 gigabytes and hours.
ONLY_FULL = frozenset({"rows", "growth", "purge", "purge-counts"})
ONLY_PEERS = frozenset({"peers"})

"""Finds the time when a primary accepts writes again."""

import queue
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

import psycopg2

from soak.cluster import SoakError
from soak.failover.node import Node
from soak.failover.patroni import PatroniCluster

_PAUSE_SECONDS = 0.05
_WAIT_SECONDS = 120
# It waits for the synchronous standby, like every commit.
_WRITE = "SELECT pg_logical_emit_message(true, 'soak', '')"


@dataclass(frozen=True)
class FirstWrite:
    """An acknowledged write: its node and its time."""

    node: Node
    at: float


def wait_for_write(cluster: PatroniCluster, nodes: Sequence[Node]) -> FirstWrite:
    """Return the first write that one of these nodes acknowledges from now on."""
    found: queue.SimpleQueue[FirstWrite] = queue.SimpleQueue()
    ended = threading.Event()
    for node in nodes:
        arguments = (node, cluster.superuser_dsn(node), found, ended)
        threading.Thread(target=_try, args=arguments, daemon=True).start()
    try:
        return found.get(timeout=_WAIT_SECONDS)
    except queue.Empty:
        raise SoakError(f"No primary took a write within {_WAIT_SECONDS} s.") from None
    finally:
        ended.set()


def _try(
    node: Node, dsn: str, found: "queue.SimpleQueue[FirstWrite]", ended: threading.Event
) -> None:
    while not ended.wait(_PAUSE_SECONDS):
        with suppress(psycopg2.Error), closing(psycopg2.connect(dsn)) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_is_in_recovery()")
                if cursor.fetchone() == (True,):
                    continue
                cursor.execute(_WRITE)
            connection.commit()
            found.put(FirstWrite(node, time.monotonic()))
            return

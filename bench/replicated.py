"""A primary and its synchronous standby, each with fsync, and with a database for servers."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.cluster import MAY_PREPARE, Cluster, Recipe
from bench.paths import REPLICATED
from tests.harness.replication import Node, made_cluster, replicated

_FINISHED = REPLICATED / "finished"


@contextmanager
def replicated_database(recipe: Recipe) -> Iterator[str]:
    """Run both, with the database of a recipe; yield its URL on the primary.

    Both are copies of a prepared cluster, which is kept in var/bench between runs.
    """
    made = _made()
    _prepare(made, recipe)
    _remove_copies()
    try:
        with replicated(made, REPLICATED, options=()) as nodes:
            yield _cluster(nodes.primary).database_url(recipe.database)
    finally:
        _remove_copies()


def _made() -> Path:
    """Return the folder of the cluster; create the cluster if none is finished."""
    if not _FINISHED.exists():
        shutil.rmtree(REPLICATED, ignore_errors=True)
        REPLICATED.mkdir(parents=True)
        made_cluster(REPLICATED)
        _FINISHED.touch()
    return REPLICATED / "made"


def _prepare(made: Path, recipe: Recipe) -> None:
    node = Node(made)
    node.start()
    try:
        node.sql(MAY_PREPARE)
        _cluster(node).prepare(recipe)
        # So that the copies start without a recovery.
        node.sql("CHECKPOINT")
    finally:
        node.stop()


def _cluster(node: Node) -> Cluster:
    return Cluster(node.url, "127.0.0.1", str(node.port))


def _remove_copies() -> None:
    for name in ("primary", "standby"):
        shutil.rmtree(REPLICATED / name, ignore_errors=True)

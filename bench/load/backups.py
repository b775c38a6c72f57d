"""A backup of a database, and its restore into an empty one, with the commands."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.cluster import Cluster
from bench.dataset import SIGNING_KEY
from bench.paths import STORE
from bench.processes import read_output, running
from bench.recipes import empty_recipe
from bench.targets import clean_environment

_TIMEOUT_SECONDS = 4 * 3600


@dataclass(frozen=True)
class BackupTimes:
    """The seconds of a backup and of its restore, and the size of the file in bytes."""

    backup: float
    restore: float
    size: int


def time_backup(cluster: Cluster, url: str) -> BackupTimes:
    """Back up a database, and restore the backup into an empty one, which is dropped."""
    path = STORE / "growth.dump"
    restored = empty_recipe()
    cluster.drop(restored)
    try:
        backup = _time(url, ["backup", str(path), "--overwrite"])
        restore = _time(cluster.prepare(restored), ["restore", str(path), "--yes"])
        return BackupTimes(backup, restore, path.stat().st_size)
    finally:
        path.unlink(missing_ok=True)
        cluster.drop(restored)


def _time(url: str, arguments: Sequence[str]) -> float:
    environment = clean_environment() | {
        "APP_SETTINGS": "production",
        "USERAUTH_SERVER__REQUIRE_HTTPS": "false",
        "DATABASE_URL": url,
        "SECRET_KEYS": SIGNING_KEY,
    }
    command = [sys.executable, "manage.py", *arguments]
    log = f"growth-{arguments[0]}"
    started = time.perf_counter()
    with running(command, log=log, environment=environment) as process:
        read_output(process, timeout=_TIMEOUT_SECONDS, log=log)
    return time.perf_counter() - started

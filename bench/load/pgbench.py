"""The limit `select`: the same look-up by pgbench, prepared, 16 clients."""

import re

from bench.cluster import Cluster
from bench.people import USERS
from bench.places import LISTS
from bench.processes import BenchError, run_bounded
from postgres.programs import find_programs
from postgres.serving_role import ROLE

CLIENTS = 16
_LOOK_UP = f"""\\set n random(1, {USERS})
SELECT t.id, u.id, u.email, u.name, u.created_at, u.updated_at
FROM tokens t
JOIN users u ON u.id = t.user_id
WHERE t.id = md5('token ' || :n)::uuid AND t.revoked_at IS NULL;
"""
_RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_FAILED = re.compile(r"number of failed transactions: ([0-9]+)")


def measure_selects(cluster: Cluster, database: str, seconds: int) -> float:
    """Return how many look-ups a second Postgres answers."""
    LISTS.mkdir(parents=True, exist_ok=True)
    script = LISTS / "look_up.sql"
    script.write_text(_LOOK_UP, encoding="ascii")
    command = [
        str(find_programs() / "pgbench"),
        "--no-vacuum",
        "--protocol=prepared",
        f"--client={CLIENTS}",
        "--jobs=1",
        f"--time={seconds}",
        f"--file={script}",
        f"--host={cluster.socket_folder}",
        f"--port={cluster.socket_port}",
        f"--username={ROLE}",
        database,
    ]
    printed = run_bounded(command, seconds=seconds + 30, log="pgbench")
    rate, failed = _RATE.search(printed), _FAILED.search(printed)
    if rate is None or (failed and int(failed[1])):
        raise BenchError(f"pgbench failed: {printed}")
    return float(rate[1])

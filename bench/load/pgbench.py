"""The baseline `select`: the same lookup with pgbench, prepared, with 16 clients."""

import re

from bench.cluster import Cluster
from bench.dataset import USERS
from bench.paths import LISTS
from bench.processes import BenchError, run_to_end
from db.token_lookups import FIND_USERS
from postgres.programs import find_programs
from postgres.server_role import ROLE

CLIENTS = 16
# The statement of the server, with one token: the server looks up several at once.
_KEYS = "ARRAY[md5('token ' || :n)::uuid]"
LOOKUP = f"\\set n random(1, {USERS})\n{FIND_USERS.sql.strip().replace('$1', _KEYS)};\n"
_RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_FAILED = re.compile(r"number of failed transactions: ([0-9]+)")


def measure_selects(cluster: Cluster, database: str, seconds: int) -> float:
    """Return how many lookups per second Postgres completes."""
    LISTS.mkdir(parents=True, exist_ok=True)
    script = LISTS / "lookup.sql"
    script.write_text(LOOKUP, encoding="ascii")
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
    output = run_to_end(command, timeout=seconds + 30, log="pgbench")
    rate, failed = _RATE.search(output), _FAILED.search(output)
    if rate is None or (failed and int(failed[1])):
        raise BenchError(f"pgbench failed: {output}")
    return float(rate[1])

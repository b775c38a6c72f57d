"""The baseline `bcrypt`: checkpw on as many threads as the server has workers.

Run as `python -m bench.load.hashing THREADS COST SECONDS`, in a separate process; prints the times
at which hashes were completed, as JSON.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import bcrypt

from bench.load.rates import completion_rate
from bench.processes import run_to_end
from wiring.passwords import default_workers

_PASSWORD = b"correct horse battery staple"


def measure_hashing(cost: int, seconds: float) -> float:
    """Return how many passwords per second this machine verifies."""
    threads = default_workers(processes=1)
    command = [sys.executable, "-m", __name__, str(threads), str(cost), str(seconds)]
    output = run_to_end(command, timeout=seconds + 60, log="hashing")
    return completion_rate(json.loads(output))


def _verify_until(hashed: bytes, deadline: float) -> list[float]:
    completed = []
    while time.perf_counter() < deadline:
        bcrypt.checkpw(_PASSWORD, hashed)
        completed.append(time.perf_counter())
    return completed


def _main(threads: int, cost: int, seconds: float) -> None:
    hashed = bcrypt.hashpw(_PASSWORD, bcrypt.gensalt(cost))
    deadline = time.perf_counter() + seconds
    with ThreadPoolExecutor(threads) as pool:
        runs = [pool.submit(_verify_until, hashed, deadline) for _ in range(threads)]
        print(json.dumps([each for run in runs for each in run.result()]))


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

"""Where things are."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
# The prepared cluster and the environments of the peers stay here between runs.
STORE = ROOT / "var" / "bench"
CLUSTER = STORE / "postgres"
LOGS = STORE / "logs"
LISTS = STORE / "lists"

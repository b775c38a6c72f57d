"""The directories of the bench."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
# The prepared cluster and the peers' virtual environments are kept here between runs.
STORE = ROOT / "var" / "bench"
CLUSTER = STORE / "postgres"
REPLICATED = STORE / "replicated"
LOGS = STORE / "logs"
LISTS = STORE / "lists"

"""Soak the server: `python -m soak [--minutes N] [--clients M] [--seed S]`.

Exits with 0 if nothing contradicts the model, 1 if something does or the run failed.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import uvloop

from soak.cluster import running_cluster
from soak.fleet import SIZE, Database, running_fleet
from soak.program import ignore_signals, run_program
from soak.run import Plan, Run
from soak.tally import Tally
from tests.harness.smtp import SmtpServer


def main(arguments: Sequence[str]) -> int:
    """Run the soak; return the exit code."""
    return run_program(partial(_soak, _parse(arguments)))


def _parse(arguments: Sequence[str]) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=2.0, help="duration of the load (default: 2)"
    )
    parser.add_argument("--clients", type=int, default=200, help="number of clients (default: 200)")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the random choices (default: 1)"
    )
    options = parser.parse_args(arguments)
    if options.minutes <= 0 or options.clients < 1:
        parser.error("--minutes and --clients must be greater than 0")
    return Plan(options.minutes, options.clients, options.seed)


def _soak(plan: Plan, tally: Tally) -> None:
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="userauth-soak-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        # A signal must not interrupt the clean-up.
        stack.callback(ignore_signals)
        cluster = stack.enter_context(running_cluster(directory / "postgres"))
        stack.callback(ignore_signals)
        relay = stack.enter_context(SmtpServer())
        databases = [Database(cluster.dsn)] * SIZE
        fleet = stack.enter_context(running_fleet(databases, relay.url(), directory))
        stack.callback(ignore_signals)
        tally.restart_clock()
        run = Run(plan, cluster, fleet, relay, tally)
        uvloop.run(run.run())
        for line in run.summary():
            print(line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

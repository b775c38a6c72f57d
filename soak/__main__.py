"""Soak the server: `python -m soak [--minutes N] [--clients M] [--seed S]`.

Exits with 0 if nothing contradicts the model, 1 if something does or the run failed.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import uvloop

from postgres.embedded import EmbeddedPostgresError
from soak.cluster import SoakError, running_cluster
from soak.fleet import SIZE, Database, running_fleet
from soak.run import Plan, Run
from soak.tally import Tally
from tests.harness.smtp import SmtpServer

INTERRUPTED = 130
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Run the soak; return the exit code."""
    plan = _parse(arguments)
    tally = Tally()
    for number in STOP_SIGNALS:
        signal.signal(number, _unwind)
    try:
        _soak(plan, tally)
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("Interrupted; all child processes are stopped.", file=sys.stderr)
        return INTERRUPTED
    except (SoakError, EmbeddedPostgresError) as error:
        tally.fault(f"the run failed: {error}")
    print(f"soak: {tally.requests:,} requests, {tally.faults} faults")
    for line in tally.shown_faults():
        print(f"  {line}")
    return 1 if tally.faults else 0


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
        stack.callback(_ignore_signals)
        cluster = stack.enter_context(running_cluster(directory / "postgres"))
        stack.callback(_ignore_signals)
        relay = stack.enter_context(SmtpServer())
        databases = [Database(cluster.dsn)] * SIZE
        fleet = stack.enter_context(running_fleet(databases, relay.url(), directory))
        stack.callback(_ignore_signals)
        tally.restart_clock()
        run = Run(plan, cluster, fleet, relay, tally)
        uvloop.run(run.run())
        for line in run.summary():
            print(line)


def _ignore_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _unwind(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

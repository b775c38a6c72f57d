"""Soak the server: `python -m soak [--minutes N] [--clients M] [--seed S]`.

Exits with 0 where nothing contradicts the book, 1 where something does or something broke.
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
from soak.fleet import running_fleet
from soak.session import Plan, Session
from soak.tally import MOST_FAULTS_SHOWN, Tally

INTERRUPTED = 130
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Run the soak that was asked for; return the exit code."""
    plan = _parse(arguments)
    tally = Tally()
    for number in STOP_SIGNALS:
        signal.signal(number, _unwind)
    try:
        _soak(plan, tally)
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("Interrupted; everything that was started is stopped.", file=sys.stderr)
        return INTERRUPTED
    except (SoakError, EmbeddedPostgresError) as error:
        tally.fault(f"the soak broke off: {error}")
    print(f"soak: {tally.requests:,} requests, {len(tally.faults)} faults")
    for fault in tally.faults[:MOST_FAULTS_SHOWN]:
        print(f"  {fault}")
    if len(tally.faults) > MOST_FAULTS_SHOWN:
        print(f"  and {len(tally.faults) - MOST_FAULTS_SHOWN:,} more")
    return 1 if tally.faults else 0


def _parse(arguments: Sequence[str]) -> Plan:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long the load lasts")
    parser.add_argument("--clients", type=int, default=200, help="how many clients there are")
    parser.add_argument("--seed", type=int, default=1, help="what the choices come from")
    options = parser.parse_args(arguments)
    if options.minutes <= 0 or options.clients < 1:
        parser.error("--minutes and --clients must be more than 0")
    return Plan(options.minutes, options.clients, options.seed)


def _soak(plan: Plan, tally: Tally) -> None:
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="userauth-soak-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        # Nobody interrupts what stops and removes everything.
        stack.callback(_ignore_signals)
        cluster = stack.enter_context(running_cluster(folder / "postgres"))
        stack.callback(_ignore_signals)
        fleet = stack.enter_context(running_fleet(cluster.dsn, folder))
        stack.callback(_ignore_signals)
        tally.restart_clock()
        session = Session(plan, cluster, fleet, tally)
        uvloop.run(session.run())
        for line in session.summary():
            print(line)


def _ignore_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _unwind(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

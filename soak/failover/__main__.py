"""Soak failovers: `python -m soak.failover [EVENT …] [--rounds N] [--clients M] [--patroni FILE]`.

Exits with 0 if nothing contradicts the model, 1 if something does or the run failed.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import uvloop

from soak.cluster import SoakError
from soak.failover.events import EVENTS
from soak.failover.network import Network, NetworkUnavailableError, running_network
from soak.failover.patroni import NAMES, PatroniCluster, running_patroni
from soak.failover.run import FailoverRun, Plan
from soak.fleet import Database, running_fleet
from soak.program import ignore_signals, run_program
from soak.tally import Tally
from tests.harness.smtp import SmtpServer

PATRONI = "/opt/patroni/bin/patroni"


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    plan: Plan
    patroni: str
    keep: bool


def main(arguments: Sequence[str]) -> int:
    """Run the soak; return the exit code."""
    return run_program(partial(_soak, _parse(arguments)))


def _parse(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m soak.failover", description=__doc__)
    parser.add_argument("events", nargs="*", help=f"default: all of {', '.join(EVENTS)}")
    parser.add_argument("--rounds", type=int, default=1, help="how often each (default: 1)")
    parser.add_argument("--clients", type=int, default=200, help="number of clients (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="seed of random choices (default: 1)")
    parser.add_argument("--patroni", default=PATRONI, help=f"the program (default: {PATRONI})")
    parser.add_argument("--keep", action="store_true", help="keep logs and data in any case")
    options = parser.parse_args(arguments)
    names = options.events or list(EVENTS)
    if unknown := set(names) - set(EVENTS):
        parser.error(f"unknown event: {', '.join(sorted(unknown))}")
    if options.rounds < 1 or options.clients < 1:
        parser.error("--rounds and --clients must be greater than 0")
    events = [EVENTS[name] for name in names] * options.rounds
    return Options(Plan(events, options.clients, options.seed), options.patroni, options.keep)


def _soak(options: Options, tally: Tally) -> None:
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="userauth-failover-"))
        stack.push(partial(_clean_up, directory, tally, options.keep))
        # A signal must not interrupt the clean-up.
        stack.callback(ignore_signals)
        network, reason = _find_network(stack)
        plan, left_out = without_network(options.plan, reason)
        cluster = stack.enter_context(running_patroni(directory, options.patroni, network))
        stack.callback(ignore_signals)
        relay = stack.enter_context(SmtpServer())
        databases = _databases(cluster)
        fleet = stack.enter_context(running_fleet(databases, relay.url(), directory))
        stack.callback(ignore_signals)
        tally.restart_clock()
        run = FailoverRun(plan, cluster, fleet, tally)
        uvloop.run(run.run())
        for line in [*run.summary(), *left_out]:
            print(line)


def _clean_up(directory: Path, tally: Tally, keep: bool, kind: type | None, *_: object) -> None:  # noqa: FBT001
    """Remove the logs and data of the nodes, unless the run found a fault."""
    if keep or tally.faults or (kind is not None and issubclass(kind, Exception)):
        print(f"logs and data: {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)


def _find_network(stack: ExitStack) -> tuple[Network | None, str]:
    """Return a network that runs until the stack is closed, or None and the reason."""
    try:
        return stack.enter_context(running_network(NAMES)), ""
    except NetworkUnavailableError as error:
        return None, str(error)


def without_network(plan: Plan, reason: str) -> tuple[Plan, list[str]]:
    """Leave out the events that need a network if there is none; return lines about them."""
    if not reason:
        return plan, []
    kept = [event for event in plan.events if not event.cuts_network]
    names = {event.name for event in plan.events if event.cuts_network}
    lines = [f"NOT TESTED: {name}: no network of the nodes: {reason}" for name in names]
    for line in lines:
        print(line, flush=True)
    if not kept:
        raise SoakError("No event is left.")
    return replace(plan, events=kept), lines


def _databases(cluster: PatroniCluster) -> Sequence[Database]:
    """Return how each server reaches the primary; the protection against old primaries differs."""
    return [Database(cluster.dsn, reads="acknowledged"), Database(cluster.proxy_dsn)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

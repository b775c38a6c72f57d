"""Measure the server: `python -m bench [--full] [--peers] [--only NAME ...]`.

Exits with 0 if every response was expected, whether or not the goals are met; with 1 if some were
not, or a measurement failed; with 2 if it cannot start.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import psycopg2

from bench.charts import draw_latency, draw_throughput
from bench.cluster import running_cluster
from bench.groups import GROUPS, ONLY_FULL, ONLY_PEERS
from bench.load.wrk import require_wrk
from bench.machine import Machine, busy_percent, describe
from bench.paths import BENCH, LISTS, LOGS, STORE
from bench.processes import BenchError, exclusive_run, raise_file_limit, unwind_on_signals
from bench.report import render
from bench.results import Results
from bench.run import FULL, QUICK, Run, Schedule
from postgres.embedded import EmbeddedPostgresError

# 1,000 connections, and the other files of a process.
MIN_FILES = 4096
INTERRUPTED = 130
# The harness of the tests, which some groups use, asserts.
FAILURES = (BenchError, OSError, psutil.Error, psycopg2.Error, AssertionError)


def main(arguments: Sequence[str]) -> int:
    """Run the selected measurements and write the report."""
    options = _parse(arguments)
    schedule = FULL if options.full else QUICK
    names = options.only or _default_groups(full=options.full, peers=options.peers)
    # A partial run must not replace a report on all measurements.
    directory = STORE / "partial" if options.only else BENCH
    unwind_on_signals()
    try:
        require_wrk()
        raise_file_limit(MIN_FILES)
        with exclusive_run():
            machine, run, results = _measure(schedule, names)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; all child processes are stopped.", file=sys.stderr)
        return INTERRUPTED
    except EmbeddedPostgresError as error:
        print(error, file=sys.stderr)
        return 1
    if results == Results():
        print("Nothing was measured; the report is unchanged.", file=sys.stderr)
        return 1
    _write(directory, render(machine, run, results), results)
    return 1 if run.faults else 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="measure longer, and a database with 5,000,000 tokens"
    )
    parser.add_argument("--peers", action="store_true", help="measure other servers, too")
    parser.add_argument(
        "--only", nargs="+", choices=GROUPS, metavar="NAME", help=f"one of: {', '.join(GROUPS)}"
    )
    return parser.parse_args(arguments)


def _default_groups(*, full: bool, peers: bool) -> list[str]:
    excluded = (frozenset() if full else ONLY_FULL) | (frozenset() if peers else ONLY_PEERS)
    return [name for name in GROUPS if name not in excluded]


def _measure(schedule: Schedule, names: Sequence[str]) -> tuple[Machine, Run, Results]:
    busy = busy_percent()
    with running_cluster() as cluster:
        run = Run(cluster, schedule)
        results = Results()
        for name in names:
            try:
                results += GROUPS[name](run)
            except FAILURES as error:
                # The other groups still run. The report omits the details, which may name paths.
                run.faults.append(f"{name}: the measurement failed")
                print(f"{name} failed: {error}", file=sys.stderr)
        shutil.rmtree(LISTS, ignore_errors=True)
        if not run.faults:
            # They have a line for each of a million requests, and are only useful after faults.
            shutil.rmtree(LOGS, ignore_errors=True)
        return describe(cluster, busy=busy), run, results


def _write(directory: Path, report: str, results: Results) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.md").write_text(report, encoding="utf-8")
    if results.lines:
        draw_throughput(results, directory / "throughput.svg")
    if results.curves:
        draw_latency(results, directory / "latency.svg")
    print(f"\n{report}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

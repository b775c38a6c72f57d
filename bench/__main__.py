"""Measure the server: `python -m bench [--full] [--peers] [--only NAME ...]`.

Exits with 0 where every answer was the expected one, whether or not the marks are met; 1 where
some were not, or something broke; 2 where it cannot start.
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
from bench.findings import Findings
from bench.groups import GROUPS, ONLY_FULL, ONLY_PEERS
from bench.load.wrk import require_wrk
from bench.machine import Machine, busy_percent, describe
from bench.places import BENCH, LISTS, LOGS, STORE
from bench.processes import BenchError, allow_many_files, end_like_interrupt, only_run
from bench.report import render
from bench.session import FULL, QUICK, Pace, Session
from postgres.embedded import EmbeddedPostgresError

# 1,000 connections, and what a process needs besides.
FILES = 4096
INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Run the measurements that were asked for, and write the report."""
    options = _parse(arguments)
    pace = FULL if options.full else QUICK
    names = options.only or _usual(full=options.full, peers=options.peers)
    # A part of the measurements does not replace a report on all of them.
    folder = STORE / "partial" if options.only else BENCH
    end_like_interrupt()
    try:
        require_wrk()
        allow_many_files(FILES)
        with only_run():
            machine, session, findings = _measure(pace, names)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; everything that was started is stopped.", file=sys.stderr)
        return INTERRUPTED
    except EmbeddedPostgresError as error:
        print(error, file=sys.stderr)
        return 1
    if findings == Findings():
        print("Nothing could be measured; the report is left as it was.", file=sys.stderr)
        return 1
    _write(folder, render(machine, session, findings), findings)
    return 1 if session.faults else 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="measure longer, and 5,000,000 rows")
    parser.add_argument("--peers", action="store_true", help="measure other servers, too")
    parser.add_argument(
        "--only", nargs="+", choices=GROUPS, metavar="NAME", help=f"one of: {', '.join(GROUPS)}"
    )
    return parser.parse_args(arguments)


def _usual(*, full: bool, peers: bool) -> list[str]:
    left_out = (frozenset() if full else ONLY_FULL) | (frozenset() if peers else ONLY_PEERS)
    return [name for name in GROUPS if name not in left_out]


def _measure(pace: Pace, names: Sequence[str]) -> tuple[Machine, Session, Findings]:
    busy = busy_percent()
    with running_cluster() as cluster:
        session = Session(cluster, pace)
        findings = Findings()
        for name in names:
            try:
                findings += GROUPS[name](session)
            except (BenchError, OSError, psutil.Error, psycopg2.Error) as error:
                # The others can still be measured; the details are for the terminal only.
                session.faults.append(f"{name}: the measurement broke off")
                print(f"{name} broke off: {error}", file=sys.stderr)
        shutil.rmtree(LISTS, ignore_errors=True)
        if not session.faults:
            # A line for each of a million requests: worth keeping only where something is wrong.
            shutil.rmtree(LOGS, ignore_errors=True)
        return describe(cluster, busy=busy), session, findings


def _write(folder: Path, report: str, findings: Findings) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(report, encoding="utf-8")
    if findings.lines:
        draw_throughput(findings, folder / "throughput.svg")
    if findings.curves:
        draw_latency(findings, folder / "latency.svg")
    print(f"\n{report}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

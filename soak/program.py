"""The parts that all soaks share: stop signals, the report, and the exit code."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

from postgres.programs import EmbeddedPostgresError
from soak.cluster import SoakError
from soak.tally import Tally
from tests.harness.environment_variables import remove_unwanted

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED = 130


def run_program(soak: Callable[[Tally], None]) -> int:
    """Run a soak and print its faults; return the exit code."""
    tally = Tally()
    remove_unwanted(os.environ)
    for number in STOP_SIGNALS:
        signal.signal(number, _unwind)
    try:
        soak(tally)
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("Interrupted; all child processes are stopped.", file=sys.stderr)
        return _INTERRUPTED
    except (SoakError, EmbeddedPostgresError) as error:
        tally.fault(f"the run failed: {error}")
    print(f"soak: {tally.requests:,} requests, {tally.faults} faults")
    for line in tally.shown_faults():
        print(f"  {line}")
    return 1 if tally.faults else 0


def ignore_signals() -> None:
    """Ignore the stop signals: one must not interrupt the clean-up."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _unwind(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(number)

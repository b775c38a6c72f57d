"""Load generators in separate processes.

A worker reads its plan as JSON from standard input and writes its results as JSON to standard
output.
"""

import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

from bench.processes import read_output, running

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Plan = TypeVar("Plan")


@contextmanager
def running_worker(
    module: str, plan: "DataclassInstance", *, log: str, timeout: float
) -> Iterator[Callable[[], dict[str, Any]]]:
    """Run a worker; yield a function that waits for its results."""
    with running([sys.executable, "-m", module], log=log) as process:
        if process.stdin is not None:
            process.stdin.write(json.dumps(asdict(plan)))
            process.stdin.close()
            process.stdin = None  # read_output() must not write to it

        def wait() -> dict[str, Any]:
            results: dict[str, Any] = json.loads(read_output(process, timeout=timeout, log=log))
            return results

        yield wait


def run(
    plan_type: Callable[..., Plan], work: Callable[[Plan], Awaitable["DataclassInstance"]]
) -> None:
    """Do the work of a worker, in its process."""

    async def main() -> "DataclassInstance":
        return await work(plan_type(**json.load(sys.stdin)))

    print(json.dumps(asdict(uvloop.run(main()))))

"""Two servers behind PgBouncer in transaction mode, under mixed calls."""

import asyncio
import re
from collections import Counter
from pathlib import Path

from tests.harness.mixed_calls import send_mixed_calls
from tests.harness.pgbouncer import pooled_database
from tests.harness.processes import running_server
from tests.harness.sql import run_sql

_CLIENTS = 24
_PROBLEM = re.compile("WARNING|ERROR|Traceback")


def check_mixed_calls(postgres: str, folder: Path, *, seconds: float) -> Counter[tuple[str, int]]:
    """Send calls to both servers; assert that the expected answers come, and nothing is left."""
    with pooled_database(postgres, "mixed") as pooled:
        variables = {
            "DATABASE_URL": pooled.url,
            "USERAUTH_DATABASE__DIRECT_URL": pooled.direct,
            "USERAUTH_DATABASE__POOLER": "transaction",
            # The machine may be busy.
            "USERAUTH_SERVER__LAG_WARNING_SECONDS": "60",
            "USERAUTH_DATABASE__ACQUIRE_TIMEOUT_SECONDS": "60",
            "USERAUTH_DATABASE__QUERY_TIMEOUT_SECONDS": "60",
            "USERAUTH_PASSWORDS__MAX_WAIT_SECONDS": "60",
            "USERAUTH_THROTTLE__ADDRESS_FAILURES": "1000000",
        }
        with (
            running_server(variables, folder / "one") as one,
            running_server(variables, folder / "two") as two,
        ):
            seen = asyncio.run(
                send_mixed_calls([one.url, two.url], clients=_CLIENTS, seconds=seconds)
            )
            sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'mixed'"
            # Those of the pool, and that of this query.
            assert run_sql(pooled.direct, sessions)[0][0] <= pooled.pool_size + 1
            assert pooled.leftovers() == []
            for server in (one, two):
                problems = [line for line in server.written().splitlines() if _PROBLEM.search(line)]
                assert problems == []
    return seen

"""The end of the embedded Postgres, with a real server process."""

import os
import signal
from pathlib import Path

import httpx

from postgres.embedded import EmbeddedPostgres
from tests.harness.embedded_clusters import postmaster
from tests.harness.processes import running_server
from tests.harness.waiting import wait_until

ENDED = " the embedded Postgres has ended: requests get 503 until a restart"
AGAIN = " the embedded Postgres runs again"


def test_a_server_logs_the_end_of_its_postgres_and_uses_the_one_that_a_command_starts(
    tmp_path: Path, open_folder: Path
) -> None:
    data = open_folder / "data"
    variables = {"DATABASE_URL": "embedded", "USERAUTH_DATABASE__EMBEDDED_DIR": str(data)}
    with running_server(variables, tmp_path / "log") as server:
        os.kill(postmaster(data), signal.SIGKILL)
        wait_until(lambda: ENDED in server.written())
        # As a command does.
        EmbeddedPostgres.start(data).stop()
        wait_until(lambda: AGAIN in server.written())
        wait_until(lambda: httpx.get(f"{server.url}/health/ready", timeout=30).status_code == 200)
        assert server.stop() == 0
    assert server.written().count(ENDED) == 1

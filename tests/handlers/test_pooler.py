"""A pooler that is met while the server runs."""

from collections.abc import Iterator
from contextlib import ExitStack, closing

import psycopg2
import pytest

from db.token_lookups import FIND_USERS
from tests.harness.api import Api
from tests.harness.configuration import override_settings
from tests.harness.pgbouncer import running_pgbouncer
from tests.harness.request_messages import request_messages


@pytest.fixture
def dsn(dsn: str) -> Iterator[str]:
    """Connect the application through a pooler that leaves prepared statements in its sessions."""
    with running_pgbouncer(dsn, reset_query="") as url:
        yield f"{url}session"


@pytest.mark.needs("pgbouncer")
# The test connects to another URL than that of the settings.
@override_settings(DATABASE__POOLER="session", DATABASE__URL="postgresql://db.example/users")
@pytest.mark.gen_test
async def test_after_a_pooler_was_met_every_request_gets_503(
    api: Api, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await api.register()).status == 201
    with ExitStack() as stack:
        # More than the sessions that no connection uses now: the server gets one of them next.
        for _ in range(8):
            other = stack.enter_context(closing(psycopg2.connect(dsn)))
            # PgBouncer closes a session whose transaction is open.
            other.autocommit = True
            other.cursor().execute(f"PREPARE {FIND_USERS.name} (text[]) AS SELECT 1")
    # Once PgBouncer accepts another connection, it has noticed that these are closed.
    psycopg2.connect(dsn).close()
    for _ in range(2):
        for request in (
            api.request("GET", "/health/ready"),
            api.log_in(),
            api.register("other@example.com"),
        ):
            answer = await request
            assert (answer.status, answer.problem) == (503, "database-unavailable")
    assert (await api.request("GET", "/health/live")).status == 200
    [error] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert error.getMessage().endswith("42P05: requests get 503 until a restart")
    causes = {vars(record)["cause"] for record in request_messages(caplog)}
    assert causes
    assert all("server_reset_query = DISCARD ALL" in each for each in causes)
    caplog.clear()

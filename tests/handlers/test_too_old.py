"""A server whose database a newer server has migrated."""

from collections.abc import Iterator

import pytest

from db.errors import ServerTooOld
from db.schema_version import VERSION
from handlers.application import Application
from tests.harness.api import Api, bearer
from tests.harness.command_line import manage
from tests.harness.databases import SCHEMA, new_database
from tests.harness.request_messages import request_messages
from tests.harness.sql import run_sql

MIGRATE = "UPDATE userauth_schema SET version = version + 1"
REQUIRE = "UPDATE userauth_schema SET compatible_since = version"


@pytest.fixture
def dsn(postgres: str) -> Iterator[str]:
    """Create a database whose schema a test may declare newer."""
    with new_database(postgres, "upgraded") as dsn:
        run_sql(dsn, SCHEMA)
        yield dsn


@pytest.mark.gen_test
async def test_beside_a_newer_server_that_does_not_require_an_upgrade_every_request_works(
    api: Api, app: Application, dsn: str
) -> None:
    token = await api.registered_token()
    run_sql(dsn, MIGRATE)
    await app.services.peers.look()
    assert (await api.request("GET", "/health/ready")).status == 200
    answer = await api.request("GET", "/api/user", authorization=bearer(token))
    assert answer.status == 200


@pytest.mark.parametrize("has_looked", [False, True])
@pytest.mark.gen_test
async def test_a_server_that_is_too_old_admits_no_one_and_says_so_once(
    api: Api, app: Application, dsn: str, caplog: pytest.LogCaptureFixture, *, has_looked: bool
) -> None:
    """From the migration on: each lookup asks for the version of the schema."""
    token = await api.registered_token()
    run_sql(dsn, f"{MIGRATE}; {REQUIRE}")
    if has_looked:
        with pytest.raises(ServerTooOld):
            await app.services.peers.look()
    for _ in range(2):
        for request in (
            api.request("GET", "/health/ready"),
            api.request("GET", "/api/user", authorization=bearer(token)),
            api.request("GET", "/api/verify", authorization=bearer(token)),
            api.log_in(),
            api.register("other@example.com"),
            api.request("POST", "/api/user/logout", authorization=bearer(token)),
        ):
            answer = await request
            assert (answer.status, answer.problem) == (503, "database-unavailable")
    assert (await api.request("GET", "/health/live")).status == 200
    [error] = [record for record in caplog.records if record.levelname == "ERROR"]
    reason = f"The database has schema version {VERSION + 1}, which servers of version"
    assert error.getMessage().startswith(reason)
    assert error.getMessage().endswith("start a newer server: requests get 503 until a restart")
    causes = {vars(record)["cause"] for record in request_messages(caplog)}
    assert causes
    assert all("start a newer server" in each for each in causes)
    caplog.clear()


def test_commands_work_beside_a_newer_server_until_they_are_too_old(dsn: str) -> None:
    run_sql(dsn, MIGRATE)
    assert manage("users", "list", DATABASE_URL=dsn).returncode == 0
    run_sql(dsn, REQUIRE)
    for arguments in (["users", "list"], ["users", "add", "a@example.com"], ["throttle", "list"]):
        ended = manage(*arguments, DATABASE_URL=dsn)
        assert ended.returncode == 1, ended
        assert ended.stderr == (
            f"Error: The database has schema version {VERSION + 1}, which servers of version"
            f" {VERSION + 1} and later support, and this server has version {VERSION}: start a"
            " newer server.\n"
        )

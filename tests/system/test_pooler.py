"""Two servers that share PgBouncer in transaction mode."""

from pathlib import Path

import pytest

from tests.harness.pgbouncer import pooled_database
from tests.harness.pooled_servers import check_mixed_calls
from tests.harness.processes import run_to_the_end
from tests.harness.sql import run_sql


@pytest.mark.needs("pgbouncer")
def test_two_servers_share_the_four_sessions_of_a_pooler_without_an_error(
    postgres: str, tmp_path: Path
) -> None:
    seen = check_mixed_calls(postgres, tmp_path, seconds=2)
    assert seen["DELETE /api/user", 200] >= 24


@pytest.mark.needs("pgbouncer")
def test_a_server_does_not_start_behind_a_pooler_that_the_settings_do_not_describe(
    postgres: str,
) -> None:
    with pooled_database(postgres, "started") as pooled:
        variables = {"DATABASE_URL": pooled.url, "USERAUTH_DATABASE__DIRECT_URL": pooled.direct}
        run_sql(pooled.direct, "ALTER ROLE userauth IN DATABASE started RESET lock_timeout")
        for pooler, sentence in (
            ("none", "set database.pooler to its mode"),
            ("session", "connections share sessions of Postgres"),
            ("transaction", "ALTER ROLE userauth IN DATABASE started SET lock_timeout = '2000ms';"),
        ):
            ended = run_to_the_end(**variables, USERAUTH_DATABASE__POOLER=pooler)
            assert ended.returncode == 1
            assert sentence in ended.stderr
            assert "Traceback" not in ended.stderr

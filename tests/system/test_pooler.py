"""Two servers that share PgBouncer in transaction mode."""

from pathlib import Path

import pytest

from tests.harness.pooled_servers import check_mixed_calls


@pytest.mark.needs("pgbouncer")
def test_two_servers_share_the_four_sessions_of_a_pooler_without_an_error(
    postgres: str, tmp_path: Path
) -> None:
    seen = check_mixed_calls(postgres, tmp_path, seconds=2)
    assert seen["DELETE /api/user", 200] >= 24

"""Two servers that share PgBouncer in transaction mode, for a minute."""

from pathlib import Path

import pytest

from tests.harness.pooled_servers import check_mixed_calls


@pytest.mark.long
@pytest.mark.serial
@pytest.mark.timeout(300)
@pytest.mark.needs("pgbouncer")
def test_two_servers_share_the_four_sessions_of_a_pooler_for_a_minute(
    postgres: str, tmp_path: Path
) -> None:
    seen = check_mixed_calls(postgres, tmp_path, seconds=60)
    assert seen["DELETE /api/user", 200] >= 24

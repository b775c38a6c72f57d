"""The turns and the budgets of writes by users."""

import time

from rules.budget import Budget
from rules.write_turns import WriteTurns
from settings import Settings

# A user has the write budgets of this many credentials.
_CREDENTIALS_AT_A_TIME = 10


def write_turns(settings: Settings) -> WriteTurns:
    """Return the turns of writes, within the budgets in the settings."""
    per_minute = settings.throttle.writes_per_minute
    return WriteTurns(
        Budget(per_minute, time.monotonic),
        Budget(_CREDENTIALS_AT_A_TIME * per_minute, time.monotonic),
        settings.database.acquire_timeout_seconds,
    )

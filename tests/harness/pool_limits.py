"""The limits of connections in tests."""

from db.connecting import PoolLimits

# No machine is so slow that a test reaches these times. One that waits for a limit sets its own.
LIMITS = PoolLimits(pool_min=1, pool_max=2, acquire_timeout_seconds=20, query_timeout_seconds=20)

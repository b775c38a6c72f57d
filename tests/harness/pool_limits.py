"""The limits of connections in tests."""

from db.connecting import PoolLimits

LIMITS = PoolLimits(pool_min=1, pool_max=2, acquire_timeout_seconds=0.3, query_timeout_seconds=1)

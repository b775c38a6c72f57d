"""The load generators: wrk, pgbench, bcrypt alone, and three asyncio clients."""

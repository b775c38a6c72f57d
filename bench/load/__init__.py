"""The load: wrk, pgbench, bcrypt by itself, and two clients of our own."""

-- The role and the database of the server, created when the cluster is. Written by configure.py.
CREATE ROLE userauth LOGIN PASSWORD '$userauth_password';
CREATE DATABASE userauth ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE userauth FROM PUBLIC;
GRANT CONNECT ON DATABASE userauth TO userauth;
\connect userauth
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA userauth AUTHORIZATION userauth;
-- Failed statements stay out of the log of Postgres: their values can include a password hash.
ALTER ROLE userauth SET log_min_error_statement = 'panic';
ALTER ROLE userauth SET log_error_verbosity = 'terse';
-- A primary that was promoted waits for a standby from its first commit. Patroni sets this at the
-- promotion, which takes effect once the checkpointer has read it: up to seconds later, if it is busy.
-- Until then, commits would be confirmed that no standby has. As a standby, a node commits nothing.
-- ON_ERROR_STOP does not apply to a shell command, and psql 15 has no variable for its failure.
\set is_added `echo "synchronous_standby_names = '*'" >>"$data_dir/$name/postgres/postgresql.base.conf" && echo true || echo false`
\if :is_added
\else
DO 'BEGIN RAISE ''synchronous_standby_names is not in postgresql.base.conf''; END';
\endif

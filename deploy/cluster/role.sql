-- The role and the database of the server, created when the cluster is. Written by configure.py.
CREATE ROLE userauth LOGIN PASSWORD '$userauth_password';
CREATE DATABASE userauth TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE userauth FROM PUBLIC;
GRANT CONNECT ON DATABASE userauth TO userauth;
\connect userauth
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA userauth AUTHORIZATION userauth;

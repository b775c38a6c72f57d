-- From version 1 to 2: what a person recognises a token by, and clients that introspect.

-- The indexes first: while they are built, tokens are still looked up. What comes then needs the
-- table for itself, for a moment.
CREATE INDEX tokens_live ON tokens (user_id, created_at) WHERE revoked_at IS NULL;
CREATE INDEX tokens_expires_at ON tokens (expires_at);

CREATE TABLE clients (
    id                  text        PRIMARY KEY,
    name                text        NOT NULL CONSTRAINT clients_name_unique UNIQUE,
    secret_digest       bytea       NOT NULL,
    old_secret_digest   bytea,
    old_secret_until    timestamptz,
    created_at          timestamptz NOT NULL,
    secret_made_at      timestamptz NOT NULL,
    CHECK ((old_secret_digest IS NULL) = (old_secret_until IS NULL))
);

ALTER TABLE tokens
    ADD COLUMN key_id       text,
    ADD COLUMN user_agent   text,
    ADD COLUMN ip           inet,
    ADD COLUMN last_used_at timestamptz,
    SET (fillfactor = 90);

UPDATE userauth_schema SET version = 2, applied_at = now();

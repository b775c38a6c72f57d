-- The whole schema of userauth, for Postgres 13 and newer.
-- The server applies it at its start, under a lock, to a database that has none of it.
-- By hand: psql --single-transaction --file schema.sql "$DATABASE_URL"

-- Which version of this file was applied. One row; a server refuses to run on a newer one.
CREATE TABLE userauth_schema (
    version    integer     NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row)
);
INSERT INTO userauth_schema (version) VALUES (1);

-- People. Deleting one removes the row: nothing personal stays behind.
CREATE TABLE users (
    id               uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    -- As its owner wrote it, in the normal form of email-validator.
    email            text        NOT NULL,
    -- The same, folded by the server, whatever the locale of the cluster: what is
    -- looked up, and what must be unique.
    email_key        text        NOT NULL CONSTRAINT users_email_key_unique UNIQUE,
    name             text,
    -- Scheme and hash: see auth/passwords.py.
    password_hash    text        NOT NULL,
    -- Counts changes of the password (not renewals of its hash): a log-in, or a change, that
    -- was allowed by an older password finds out by it.
    password_version integer     NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now()
);

-- Tokens that were issued. A token is good while its row is here, has no revoked_at, and
-- belongs to a user; its expiry is signed into it, and kept here for those who clean up.
CREATE TABLE tokens (
    -- Random, so that a restored backup never gives an old id to somebody else.
    id         uuid        PRIMARY KEY,
    -- Null once the user is gone.
    user_id    uuid        REFERENCES users (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);

-- All tokens of a user: to revoke them, and for the foreign key.
CREATE INDEX tokens_user_id ON tokens (user_id);

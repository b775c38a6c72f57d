-- The whole schema of userauth, for Postgres 13 and newer.
-- The server applies it at its start, under a lock, to a database that has none of it; one
-- of an earlier version gets what is in db/migrations.
-- By hand: psql --single-transaction --file schema.sql "$DATABASE_URL"

-- Which version of this file was applied. One row; a server refuses to run on a newer one.
CREATE TABLE userauth_schema (
    version    integer     NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row)
);
INSERT INTO userauth_schema (version) VALUES (4);

-- People. Deleting one removes the row: nothing personal stays behind.
CREATE TABLE users (
    id               uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    -- As its owner wrote it, in the normal form of email-validator.
    email            text        NOT NULL,
    -- The same, folded by the server, whatever the locale of the cluster: what is
    -- looked up, and what must be unique.
    email_key        text        NOT NULL CONSTRAINT users_email_key_unique UNIQUE,
    name             text,
    -- Scheme and hash: see rules/password_scheme.py.
    password_hash    text        NOT NULL,
    -- Counts changes of the password (not renewals of its hash): a log-in, or a change, that
    -- was allowed by an older password finds out by it.
    password_version integer     NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    -- Since when an administrator keeps the user out.
    disabled_at      timestamptz
);

-- Tokens that were issued. A token is good while its row is here, has no revoked_at, and
-- belongs to a user; its expiry is signed into it, and kept here for those who clean up.
CREATE TABLE tokens (
    -- Random, so that a restored backup never gives an old id to somebody else.
    id           uuid        PRIMARY KEY,
    -- Null once the user is gone.
    user_id      uuid        REFERENCES users (id) ON DELETE SET NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    -- Which key signed it (see rules/tokens.py): a key that no living token needs can go. Null
    -- in rows from before version 2.
    key_id       text,
    -- What its owner recognises it by: the client that logged in, and when and from where
    -- the token was used last, to the minute. Personal: null once the user is gone.
    user_agent   text,
    ip           inet,
    last_used_at timestamptz
) WITH (fillfactor = 90); -- room to write last_used_at in place

-- All tokens of a user: for the foreign key, and what happens when the user goes.
CREATE INDEX tokens_user_id ON tokens (user_id);

-- Those that are not revoked: to list and revoke them, however many were revoked before.
CREATE INDEX tokens_live ON tokens (user_id, created_at) WHERE revoked_at IS NULL;

-- Those that have expired, for the housekeeping.
CREATE INDEX tokens_expires_at ON tokens (expires_at);

-- Services that may ask about tokens, and revoke them.
CREATE TABLE clients (
    -- Random; not secret.
    id                  text        PRIMARY KEY,
    name                text        NOT NULL CONSTRAINT clients_name_unique UNIQUE,
    -- SHA-256 of a secret of 256 random bits: nothing that could be guessed.
    secret_digest       bytea       NOT NULL,
    -- The secret before, and how long it is still good.
    old_secret_digest   bytea,
    old_secret_until    timestamptz,
    created_at          timestamptz NOT NULL,
    secret_made_at      timestamptz NOT NULL,
    CHECK ((old_secret_digest IS NULL) = (old_secret_until IS NULL))
);

-- Wrong passwords, counted for each e-mail address with an address, each e-mail address, and each
-- address; and registrations of each address. A missing row is a count of none.
CREATE TABLE throttle (
    -- A keyed digest of what is counted: see services/throttle.py.
    subject     text        PRIMARY KEY,
    failures    integer     NOT NULL,
    last_at     timestamptz NOT NULL,
    -- What last_at was before: what it is again if that try was right.
    before_at   timestamptz,
    -- Before this nothing more is tried.
    next_at     timestamptz,
    -- Of an e-mail address: the address, digested, of the last right password, and what holds
    -- there instead of next_at.
    place       text,
    place_next_at timestamptz,
    -- The hour of last_at, in UTC, for the housekeeping: an index on last_at itself would keep counts
    -- from being written in place.
    last_hour   timestamp   GENERATED ALWAYS AS (date_trunc('hour', last_at AT TIME ZONE 'UTC')) STORED
) WITH (fillfactor = 70); -- counted in place, for which no index may hold what changes

-- Counts in the order in which they can be removed; those of accounts are kept longer.
CREATE INDEX throttle_last_hour ON throttle (last_hour) WHERE subject NOT LIKE 'account:%';
CREATE INDEX throttle_account_last_hour ON throttle (last_hour) WHERE subject LIKE 'account:%';

-- The audit trail: what happened to accounts, clients and keys, and from where. No row is changed.
CREATE TABLE events (
    id           bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at           timestamptz NOT NULL,
    kind         text        NOT NULL,
    -- success, or failure.
    outcome      text        NOT NULL CHECK (outcome IN ('success', 'failure')),
    -- No foreign key: it tells of users who are gone.
    user_id      uuid,
    -- A keyed digest of the e-mail address: who knows the address finds its events.
    email_digest text,
    ip           inet,
    -- The client or the key that it is about.
    client_id    text,
    key_id       text,
    request_id   text,
    -- The id by which clients know the event: it says nothing of how many there are.
    public_id    uuid        NOT NULL DEFAULT gen_random_uuid(),
    -- The account on the server's machine of the administrator who acted.
    actor        text,
    -- How many events of this kind, from this address, the row stands for.
    times        integer     NOT NULL DEFAULT 1 CHECK (times > 0)
);

-- The events of a user, newest first.
CREATE INDEX events_user_id ON events (user_id, id) WHERE user_id IS NOT NULL;

-- The event that a page of them follows.
CREATE INDEX events_public_id ON events (public_id);

-- Those of an e-mail address, of users or not.
CREATE INDEX events_email_digest ON events (email_digest, id) WHERE email_digest IS NOT NULL;

-- Old ones, for the housekeeping.
CREATE INDEX events_at ON events (at);

-- E-mail addresses of deleted users, which cannot be registered until a time. Only a keyed digest
-- is kept.
CREATE TABLE reserved_emails (
    email_digest text        PRIMARY KEY,
    until        timestamptz NOT NULL
);

-- Reservations that are over, for the housekeeping.
CREATE INDEX reserved_emails_until ON reserved_emails (until);

-- The key of the digests above. It is of this database, so that every process uses the same; it
-- keeps digests that leave the database, in an export or a log, from being guessed.
CREATE TABLE digest_key (
    key      text    NOT NULL,
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
INSERT INTO digest_key (key) VALUES (gen_random_uuid()::text || gen_random_uuid()::text);

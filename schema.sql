-- The schema of userauth, for Postgres 13 and later.
-- The server applies it at startup, under a lock, to a database without it; it migrates a database
-- of an earlier version by the files in db/migrations.
-- To apply it by hand: psql --single-transaction --file schema.sql "$DATABASE_URL"

-- The version of the schema, in one row. Every later version keeps these columns.
CREATE TABLE userauth_schema (
    version          integer     NOT NULL,
    applied_at       timestamptz NOT NULL DEFAULT now(),
    only_row         boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    -- A server of this version or a later one may use the schema, and run beside newer servers.
    compatible_since integer     NOT NULL,
    -- Digests of the settings that all servers must share, as JSON, and when a server stored them.
    settings         text,
    settings_at      timestamptz
);
INSERT INTO userauth_schema (version, compatible_since) VALUES (5, 5);

-- Users. Deleting a user deletes the row; the events of the user remain until they expire.
CREATE TABLE users (
    id               uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    -- As the user wrote it, normalized by email-validator.
    email            text        NOT NULL,
    -- The same, case-folded by the server, independently of the locale of the cluster: the unique
    -- key of lookups.
    email_key        text        NOT NULL CONSTRAINT users_email_key_unique UNIQUE,
    name             text,
    -- Scheme and hash: see rules/password_scheme.py.
    password_hash    text        NOT NULL,
    -- Counts changes of the password, not renewals of its hash: with it, a login or a change detects
    -- that the password has changed since it was verified.
    password_version integer     NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    -- When an administrator disabled the user, or null.
    disabled_at      timestamptz,
    -- When the user proved to own the email address, or null.
    email_verified_at timestamptz,
    -- When a new user who has not done so is deleted; null for no limit.
    verify_until     timestamptz,
    -- The language of messages; null for the default.
    language         text
);

-- Users who have to prove their email address in time, for housekeeping.
CREATE INDEX users_verify_until ON users (verify_until) WHERE verify_until IS NOT NULL;

-- Issued tokens. A token is valid while its row exists, has no revoked_at, and belongs to a user
-- who is not disabled. Its expiry is signed into it; the column is for lists and housekeeping.
-- Sessions of browsers are tokens of a kind of their own: see rules/tokens.py.
CREATE TABLE tokens (
    -- The first byte of its user's id, then random bits, so that no id is issued again after a
    -- restore. Before version 5 all bits were random.
    id           uuid        PRIMARY KEY,
    -- Null after the user is deleted.
    user_id      uuid        REFERENCES users (id) ON DELETE SET NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    -- The key that signed it (see rules/tokens.py): a key can be removed when no valid token needs
    -- it. Null in rows from before version 2.
    key_id       text,
    -- For its owner to recognize it: the program that logged in, and the IP address and the time, to
    -- the minute, of the last use. Personal data: null after the user is deleted.
    user_agent   text,
    ip           inet,
    last_used_at timestamptz,
    kind         text        NOT NULL DEFAULT 'token' CHECK (kind IN ('token', 'session')),
    -- A session that has been idle for longer is not valid; null for no limit except expires_at.
    max_idle     interval
) WITH (fillfactor = 90); -- room for updates of last_used_at in the same page

-- All tokens of a user: for the foreign key, and the deletion of the user.
CREATE INDEX tokens_user_id ON tokens (user_id);

-- Unrevoked tokens of a user: to list and revoke them, however many were revoked before.
CREATE INDEX tokens_live ON tokens (user_id, created_at) WHERE revoked_at IS NULL;

-- Expired tokens, for housekeeping.
CREATE INDEX tokens_expires_at ON tokens (expires_at);

-- Services that may introspect and revoke tokens.
CREATE TABLE clients (
    -- Random; not secret.
    id                  text        PRIMARY KEY,
    name                text        NOT NULL CONSTRAINT clients_name_unique UNIQUE,
    -- SHA-256 of a secret of 256 random bits, which cannot be guessed.
    secret_digest       bytea       NOT NULL,
    -- The previous secret, and the end of its validity.
    old_secret_digest   bytea,
    old_secret_until    timestamptz,
    created_at          timestamptz NOT NULL,
    secret_made_at      timestamptz NOT NULL,
    CHECK ((old_secret_digest IS NULL) = (old_secret_until IS NULL))
);

-- Wrong passwords by email address and network, by email address, and by network; registrations by
-- network. A missing row is a count of 0.
CREATE TABLE throttle (
    -- A keyed digest of what is counted: see services/throttle.py.
    subject     text        PRIMARY KEY,
    failures    integer     NOT NULL,
    last_at     timestamptz NOT NULL,
    -- The previous last_at, which a correct attempt restores.
    before_at   timestamptz,
    -- The time of the next allowed attempt.
    next_at     timestamptz,
    -- For an email address: the digest of the network of the last correct password, and the time of
    -- the next allowed attempt there, which replaces next_at.
    place       text,
    place_next_at timestamptz,
    -- The hour of last_at, in UTC, for housekeeping: an index on last_at itself would prevent heap-only
    -- updates of counts.
    last_hour   timestamp   GENERATED ALWAYS AS (date_trunc('hour', last_at AT TIME ZONE 'UTC')) STORED
) WITH (fillfactor = 70); -- room for heap-only updates, which change no indexed column

-- Counts in the order of their expiry; counts of accounts are kept longer.
CREATE INDEX throttle_last_hour ON throttle (last_hour) WHERE subject NOT LIKE 'account:%';
CREATE INDEX throttle_account_last_hour ON throttle (last_hour) WHERE subject LIKE 'account:%';

-- The audit trail: events of accounts, clients and keys. Rows are never updated. Each month, in UTC,
-- has a partition, which the server creates in advance and drops as a whole.
CREATE TABLE events (
    id           bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    at           timestamptz NOT NULL,
    kind         text        NOT NULL,
    outcome      text        NOT NULL CHECK (outcome IN ('success', 'failure')),
    -- Without a foreign key: events of deleted users remain.
    user_id      uuid,
    -- A keyed digest of the email address, with which an administrator finds its events.
    email_digest text,
    ip           inet,
    -- The client or the key that the event is about.
    client_id    text,
    key_id       text,
    request_id   text,
    -- The id that callers see: it does not reveal the number of events.
    public_id    uuid        NOT NULL DEFAULT gen_random_uuid(),
    -- The system account of the administrator who acted.
    actor        text,
    -- The number of events of this kind, from this IP address, that the row represents.
    times        integer     NOT NULL DEFAULT 1 CHECK (times > 0),
    -- A key of a partitioned table must contain the column of its partitions.
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);

-- Events of months without a partition, so that no insertion fails.
CREATE TABLE events_default PARTITION OF events DEFAULT;

-- The events of a user, newest first.
CREATE INDEX events_user_id ON events (user_id, id) WHERE user_id IS NOT NULL;

-- To find the last event of a page by its public id.
CREATE INDEX events_public_id ON events (public_id);

-- The events of an email address, whether or not it belongs to a user.
CREATE INDEX events_email_digest ON events (email_digest, id) WHERE email_digest IS NOT NULL;

-- Events since a time, and old ones in the default partition, for housekeeping.
CREATE INDEX events_at ON events (at);

-- Email addresses of deleted users, as keyed digests, which cannot be registered until a time.
CREATE TABLE reserved_emails (
    email_digest text        PRIMARY KEY,
    until        timestamptz NOT NULL
);

-- Expired reservations, for housekeeping.
CREATE INDEX reserved_emails_until ON reserved_emails (until);

-- Messages to users: those still to be sent, and those sent whose link or code may still be used.
CREATE TABLE messages (
    -- Random. It is part of the link, and the secrets of the message derive from it: see
    -- rules/mail_secrets.py.
    id               uuid        PRIMARY KEY,
    -- Random and never sent: the id and a signing key alone do not suffice to derive the secrets.
    nonce            uuid        NOT NULL,
    -- See rules/message_kinds.py.
    kind             text        NOT NULL,
    -- Without a foreign key, which an insertion would have to wait for: the deletion of a user sets
    -- it to null, and the row, which is counted, remains until a day after it expires. Also null if
    -- nothing is sent because no user has the email address, or too many messages were sent to it,
    -- and in the message about the deletion.
    user_id          uuid,
    -- The email address that the message is sent to, and that becomes that of the user in a change
    -- or undo. Null like user_id.
    recipient        text,
    -- A keyed digest of the email address, with which messages and wrong codes are counted whether
    -- or not a user has it.
    email_digest     text        NOT NULL,
    -- The network, as a keyed digest, and the user that requested it; null if it was not requested.
    network_digest   text,
    requester_id     uuid,
    language         text        NOT NULL,
    -- The signing key that its secrets derive from; null in a message without secrets.
    key_id           text,
    -- That of the user, if a new password voids the message.
    password_version integer,
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    -- When its secret was used, and when it was voided.
    used_at          timestamptz,
    voided_at        timestamptz,
    -- The number of codes that were compared with its own, counted before each comparison.
    tries            integer     NOT NULL DEFAULT 0,
    -- Attempts to enter a code for the email address. Each attempt is counted in one row only, even
    -- if the code was compared with several messages.
    email_tries      integer     NOT NULL DEFAULT 0,
    last_try_at      timestamptz,
    -- When a process may send it; while one is sending it, the end of the lease. Null if it is not
    -- to be sent any longer.
    due_at           timestamptz,
    is_urgent        boolean     NOT NULL,
    attempts         integer     NOT NULL DEFAULT 0,
    sent_at          timestamptz,
    -- When the server gave up on it, and the reason for the last failure.
    failed_at        timestamptz,
    failure          text
);

-- Messages to send, in the order of sending.
CREATE INDEX messages_due ON messages (is_urgent DESC, due_at) WHERE due_at IS NOT NULL;

-- The messages of a user, to void or anonymize them. Also includes rows without a user, so that an
-- insertion takes the same time for both.
CREATE INDEX messages_user_id ON messages (user_id);

-- Messages and wrong codes of an email address.
CREATE INDEX messages_email_digest ON messages (email_digest, created_at);

-- Requests for messages, to limit them.
CREATE INDEX messages_network_digest ON messages (network_digest, created_at)
    WHERE network_digest IS NOT NULL;
CREATE INDEX messages_requester_id ON messages (requester_id, created_at)
    WHERE requester_id IS NOT NULL;

-- Expired messages, for housekeeping.
CREATE INDEX messages_expires_at ON messages (expires_at);

-- Messages about deletions, which are removed earlier than the others.
CREATE INDEX messages_user_deleted ON messages (expires_at) WHERE kind = 'user-deleted';

-- The key of the digests above, shared by every process that uses this database. Without it,
-- guesses cannot be tested against digests that leave the database, in an export or a log.
CREATE TABLE digest_key (
    key      text    NOT NULL,
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
INSERT INTO digest_key (key) VALUES (gen_random_uuid()::text || gen_random_uuid()::text);

-- From version 4 to 5: verified email addresses, the language of users, messages, sessions, and
-- events by month.

ALTER TABLE users
    ADD COLUMN email_verified_at timestamptz,
    ADD COLUMN verify_until timestamptz,
    ADD COLUMN language text;

CREATE INDEX users_verify_until ON users (verify_until) WHERE verify_until IS NOT NULL;

ALTER TABLE tokens
    ADD COLUMN kind text NOT NULL DEFAULT 'token' CHECK (kind IN ('token', 'session')),
    ADD COLUMN max_idle interval;

CREATE TABLE messages (
    id               uuid        PRIMARY KEY,
    nonce            uuid        NOT NULL,
    kind             text        NOT NULL,
    user_id          uuid,
    recipient        text,
    email_digest     text        NOT NULL,
    network_digest   text,
    requester_id     uuid,
    language         text        NOT NULL,
    key_id           text,
    password_version integer,
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    used_at          timestamptz,
    voided_at        timestamptz,
    tries            integer     NOT NULL DEFAULT 0,
    email_tries      integer     NOT NULL DEFAULT 0,
    last_try_at      timestamptz,
    due_at           timestamptz,
    is_urgent        boolean     NOT NULL,
    attempts         integer     NOT NULL DEFAULT 0,
    sent_at          timestamptz,
    failed_at        timestamptz,
    failure          text
);

CREATE INDEX messages_due ON messages (is_urgent DESC, due_at) WHERE due_at IS NOT NULL;

CREATE INDEX messages_user_id ON messages (user_id);

CREATE INDEX messages_email_digest ON messages (email_digest, created_at);

CREATE INDEX messages_network_digest ON messages (network_digest, created_at)
    WHERE network_digest IS NOT NULL;

CREATE INDEX messages_requester_id ON messages (requester_id, created_at)
    WHERE requester_id IS NOT NULL;

CREATE INDEX messages_expires_at ON messages (expires_at);

CREATE INDEX messages_user_deleted ON messages (expires_at) WHERE kind = 'user-deleted';

-- The rows of events stay where they are: their table becomes the partition of all months up to this
-- one. What it needs is a new primary key.
ALTER TABLE events RENAME TO events_before;
ALTER SEQUENCE events_id_seq RENAME TO events_before_id_seq;
ALTER INDEX events_user_id RENAME TO events_before_user_id;
ALTER INDEX events_public_id RENAME TO events_before_public_id;
ALTER INDEX events_email_digest RENAME TO events_before_email_digest;
ALTER INDEX events_at RENAME TO events_before_at;
ALTER TABLE events_before DROP CONSTRAINT events_pkey;

CREATE TABLE events (
    LIKE events_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);

ALTER TABLE events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;

CREATE TABLE events_default PARTITION OF events DEFAULT;

CREATE INDEX events_user_id ON events (user_id, id) WHERE user_id IS NOT NULL;

CREATE INDEX events_public_id ON events (public_id);

CREATE INDEX events_email_digest ON events (email_digest, id) WHERE email_digest IS NOT NULL;

CREATE INDEX events_at ON events (at);

SELECT setval('events_id_seq', last_value, is_called) FROM events_before_id_seq;

-- A column of a partition has no identity of its own.
ALTER TABLE events_before ALTER COLUMN id DROP IDENTITY;

DO $$
DECLARE
    -- The first moment of the next month, in UTC.
    until timestamptz :=
        (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    partition text := 'events_before_' || to_char(until AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    -- Events of a clock that was ahead.
    WITH later AS (DELETE FROM events_before WHERE at >= until RETURNING *)
    INSERT INTO events OVERRIDING SYSTEM VALUE SELECT * FROM later;

    EXECUTE format('ALTER TABLE events_before RENAME TO %I', partition);
    EXECUTE format(
        'ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)', partition, until
    );
END
$$;

-- Last: from here on, servers that read this row wait.
ALTER TABLE userauth_schema
    ADD COLUMN compatible_since integer,
    ADD COLUMN settings text,
    ADD COLUMN settings_at timestamptz;

UPDATE userauth_schema SET version = 5, compatible_since = 5, applied_at = now();

ALTER TABLE userauth_schema ALTER COLUMN compatible_since SET NOT NULL;

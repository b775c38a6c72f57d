-- From version 2 to 3: counts of wrong passwords, the audit trail, and users who are kept out.

CREATE TABLE throttle (
    subject     text        PRIMARY KEY,
    failures    integer     NOT NULL,
    last_at     timestamptz NOT NULL,
    before_at   timestamptz,
    next_at     timestamptz,
    place       text,
    place_next_at timestamptz
) WITH (fillfactor = 70);

CREATE TABLE events (
    id           bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at           timestamptz NOT NULL,
    kind         text        NOT NULL,
    outcome      text        NOT NULL CHECK (outcome IN ('success', 'failure')),
    user_id      uuid,
    email_digest text,
    ip           inet,
    client_id    text,
    key_id       text,
    request_id   text
);

CREATE INDEX events_user_id ON events (user_id, id) WHERE user_id IS NOT NULL;

CREATE INDEX events_email_digest ON events (email_digest, id) WHERE email_digest IS NOT NULL;

CREATE INDEX events_at ON events (at);

CREATE TABLE digest_key (
    key      text    NOT NULL,
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
INSERT INTO digest_key (key) VALUES (gen_random_uuid()::text || gen_random_uuid()::text);

ALTER TABLE users ADD COLUMN disabled_at timestamptz;

UPDATE userauth_schema SET version = 3, applied_at = now();

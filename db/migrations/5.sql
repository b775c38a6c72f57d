-- From version 4 to 5: verified email addresses, the language of users, messages, and sessions.

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

-- Last: from here on, servers that read this row wait.
ALTER TABLE userauth_schema
    ADD COLUMN compatible_since integer,
    ADD COLUMN settings text,
    ADD COLUMN settings_at timestamptz;

UPDATE userauth_schema SET version = 5, compatible_since = 5, applied_at = now();

ALTER TABLE userauth_schema ALTER COLUMN compatible_since SET NOT NULL;

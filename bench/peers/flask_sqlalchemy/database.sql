-- The tables of the Flask peer, and 100,000 users and tokens.

CREATE TABLE users (
    id            uuid        PRIMARY KEY,
    email         text        NOT NULL UNIQUE,
    name          text,
    password_hash text        NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);

CREATE TABLE tokens (
    token      text        PRIMARY KEY,
    user_id    uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX tokens_user_id ON tokens (user_id);

INSERT INTO users
SELECT
    md5('user ' || n)::uuid, 'user' || n || '@example.com', 'User ' || n,
    coalesce((%(hashes)s::text[])[n], %(unknown_hash)s), '2026-01-01Z', '2026-01-01Z'
FROM generate_series(1, 100000) AS n;

INSERT INTO tokens
SELECT md5('token ' || n), md5('user ' || n)::uuid, '2026-01-01Z', NULL
FROM generate_series(1, 100000) AS n;

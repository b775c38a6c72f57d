-- The tables that fastapi-users' SQLAlchemy base classes describe, and 100,000 users and tokens.

CREATE TABLE "user" (
    id              uuid          PRIMARY KEY,
    email           varchar(320)  NOT NULL,
    hashed_password varchar(1024) NOT NULL,
    is_active       boolean       NOT NULL,
    is_superuser    boolean       NOT NULL,
    is_verified     boolean       NOT NULL,
    name            text,
    created_at      timestamptz   NOT NULL,
    updated_at      timestamptz   NOT NULL
);
CREATE UNIQUE INDEX ix_user_email ON "user" (email);
-- Its documentation does not mention it, but it looks up email addresses this way.
CREATE INDEX ix_user_lower_email ON "user" (lower(email));

CREATE TABLE accesstoken (
    token      varchar(43) PRIMARY KEY,
    created_at timestamptz NOT NULL,
    user_id    uuid        NOT NULL REFERENCES "user" (id) ON DELETE CASCADE
);
CREATE INDEX ix_accesstoken_created_at ON accesstoken (created_at);

INSERT INTO "user"
SELECT
    md5('user ' || n)::uuid, 'user' || n || '@example.com',
    coalesce((%(hashes)s::text[])[n], %(unknown_hash)s), true, false, true, 'User ' || n,
    '2026-01-01Z', '2026-01-01Z'
FROM generate_series(1, 100000) AS n;

INSERT INTO accesstoken
SELECT md5('token ' || n), '2026-01-01Z', md5('user ' || n)::uuid
FROM generate_series(1, 100000) AS n;

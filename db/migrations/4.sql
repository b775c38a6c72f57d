-- From version 3 to 4: reserved e-mail addresses, events with a random id, an actor and a count, and
-- counts of tries that can be removed by an index.

CREATE TABLE reserved_emails (
    email_digest text        PRIMARY KEY,
    until        timestamptz NOT NULL
);

CREATE INDEX reserved_emails_until ON reserved_emails (until);

ALTER TABLE events
    ADD COLUMN public_id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN actor text,
    ADD COLUMN times integer NOT NULL DEFAULT 1 CHECK (times > 0);

CREATE INDEX events_public_id ON events (public_id);

ALTER TABLE throttle
    ADD COLUMN last_hour timestamp
        GENERATED ALWAYS AS (date_trunc('hour', last_at AT TIME ZONE 'UTC')) STORED;

CREATE INDEX throttle_last_hour ON throttle (last_hour) WHERE subject NOT LIKE 'account:%';
CREATE INDEX throttle_account_last_hour ON throttle (last_hour) WHERE subject LIKE 'account:%';

UPDATE userauth_schema SET version = 4, applied_at = now();

"""The ledger: people, what was decided for them, what became of it.

No foreign keys on the hot tables: rows of one event are written by one statement and never moved, and each key
would cost a look-up a row. `kabar audit` checks what they would.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DIRECTORY = """
CREATE TABLE people (
    id          text PRIMARY KEY,
    name        text,
    locale      text,
    time_zone   text,
    roles       text[],
    changed_at  timestamptz NOT NULL,
    removed_at  timestamptz
);
CREATE INDEX people_roles ON people USING gin (roles) WHERE removed_at IS NULL;
COMMENT ON COLUMN people.changed_at IS 'the producer''s time of the newest change; an older one is ignored';

CREATE TABLE addresses (
    person_id         text NOT NULL,
    channel           text NOT NULL,
    address           text NOT NULL,
    position          smallint NOT NULL DEFAULT 0,
    suppressed_reason text,
    suppressed_at     timestamptz,
    PRIMARY KEY (person_id, channel, address)
);

CREATE TABLE preferences (
    person_id  text NOT NULL,
    scope      text NOT NULL,
    channel    text NOT NULL,
    enabled    boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (person_id, scope, channel)
);
COMMENT ON COLUMN preferences.scope IS 'type:<event type>, category:<category> or *; the narrower wins';
"""

EVENTS = """
CREATE TABLE events (
    key         uuid PRIMARY KEY,
    source      text NOT NULL,
    id          text NOT NULL,
    type        text NOT NULL,
    time        timestamptz NOT NULL,
    subject     text,
    actor       text,
    audience    text,
    priority    text,
    expires_at  timestamptz,
    version     integer NOT NULL,
    data        jsonb NOT NULL,
    extensions  jsonb NOT NULL,
    traceparent text,
    reason      text NOT NULL,
    repeats     integer NOT NULL DEFAULT 0,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_id ON events (id);
CREATE INDEX events_received ON events USING brin (received_at);
COMMENT ON COLUMN events.key IS 'uuid5 of source and id: the same event published twice meets its own row';
COMMENT ON COLUMN events.reason IS 'why it made no notification: empty, audience_empty or directory';
COMMENT ON COLUMN events.repeats IS 'how often it arrived again';

CREATE TABLE notifications (
    id         uuid PRIMARY KEY,
    event_key  uuid NOT NULL,
    person_id  text NOT NULL,
    route      text NOT NULL,
    category   text NOT NULL,
    critical   boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    title      text,
    body       text,
    link       text,
    action     text,
    shown_at   timestamptz,
    read_at    timestamptz
);
CREATE INDEX notifications_event ON notifications (event_key);
CREATE INDEX notifications_inbox ON notifications (person_id, shown_at DESC) WHERE shown_at IS NOT NULL;
COMMENT ON COLUMN notifications.shown_at IS 'since when it stands in the inbox; null where it does not';
"""

DELIVERIES = """
CREATE TABLE deliveries (
    id              uuid PRIMARY KEY,
    notification_id uuid NOT NULL,
    event_key       uuid NOT NULL,
    person_id       text NOT NULL,
    channel         text NOT NULL,
    address         text NOT NULL,
    lane            text NOT NULL,
    state           text NOT NULL,
    reason          text NOT NULL DEFAULT '',
    detail          text NOT NULL DEFAULT '',
    attempt         smallint NOT NULL DEFAULT 0,
    attempt_limit   smallint NOT NULL,
    on_unsure       text NOT NULL,
    resends         smallint NOT NULL DEFAULT 0,
    token           bigint,
    due_at          timestamptz,
    expires_at      timestamptz NOT NULL,
    reference       text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CONSTRAINT deliveries_state CHECK (state IN (
        'waiting', 'queued', 'leased', 'sent', 'refused', 'unsure', 'dead', 'skipped', 'expired', 'cancelled')),
    CONSTRAINT deliveries_unfinished_is_due CHECK ((due_at IS NOT NULL) = (state IN ('waiting', 'queued', 'leased'))),
    CONSTRAINT deliveries_finished_is_dated CHECK ((finished_at IS NULL) = (state IN ('waiting', 'queued', 'leased')))
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX deliveries_event ON deliveries (event_key);
CREATE INDEX deliveries_waiting ON deliveries (due_at) WHERE state = 'waiting';
CREATE INDEX deliveries_leased ON deliveries (due_at) WHERE state = 'leased';
CREATE INDEX deliveries_queued ON deliveries (channel, lane, due_at) WHERE state = 'queued';
CREATE INDEX deliveries_unsure ON deliveries (finished_at) WHERE state = 'unsure';
COMMENT ON COLUMN deliveries.due_at IS
    'waiting: when it is sent next; queued: when its job is published again; leased: when the lease runs out';
COMMENT ON COLUMN deliveries.token IS 'the newest lease; an outcome is settled only under its own token';

CREATE TABLE attempts (
    delivery_id uuid NOT NULL,
    attempt     smallint NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    outcome     text NOT NULL,
    reason      text NOT NULL,
    detail      text NOT NULL,
    duration_ms integer
);
CREATE INDEX attempts_delivery ON attempts (delivery_id);
COMMENT ON TABLE attempts IS 'the tries that did not succeed; a success is the delivery''s own row';
"""

DEAD_LETTERS = """
CREATE TABLE dead_letters (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('event', 'delivery', 'job')),
    delivery_id uuid,
    event_id    text,
    event_type  text NOT NULL,
    channel     text NOT NULL DEFAULT '',
    stage       text NOT NULL,
    reason      text NOT NULL,
    field       text NOT NULL DEFAULT '',
    remedy      text NOT NULL DEFAULT '',
    fingerprint text NOT NULL,
    body        bytea,
    properties  json,
    routing_key text,
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'dropped')),
    arrivals    integer NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz
);
CREATE INDEX dead_letters_open ON dead_letters (created_at) WHERE state = 'open';
CREATE INDEX dead_letters_delivery ON dead_letters (delivery_id) WHERE kind = 'delivery';
CREATE INDEX dead_letters_event ON dead_letters (event_id);

COMMENT ON COLUMN dead_letters.properties IS 'json and not jsonb: it may hold what jsonb cannot, such as a NUL';

CREATE TABLE audit (
    at      timestamptz NOT NULL DEFAULT now(),
    actor   text NOT NULL,
    action  text NOT NULL,
    subject text NOT NULL,
    detail  text NOT NULL DEFAULT ''
);
CREATE INDEX audit_subject ON audit (subject);
"""


def upgrade() -> None:
    for script in (DIRECTORY, EVENTS, DELIVERIES, DEAD_LETTERS):
        for statement in filter(str.strip, script.split(";\n")):
            op.execute(statement)


def downgrade() -> None:
    op.execute(
        "DROP TABLE people, addresses, preferences, events, notifications, deliveries, attempts, dead_letters, audit"
    )

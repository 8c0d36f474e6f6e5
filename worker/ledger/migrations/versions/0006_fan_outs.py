"""Large audiences are told in slices: one cursor for each.

A table is added and nothing changed: a worker of the version before goes on, and refuses a large audience as it did.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

FAN_OUTS = """
CREATE TABLE fan_outs (
    event_key   uuid PRIMARY KEY,
    lane        text NOT NULL,
    cursor      text NOT NULL DEFAULT '',
    people      bigint NOT NULL DEFAULT 0,
    expires_at  timestamptz NOT NULL,
    due_at      timestamptz,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT fan_outs_unfinished_is_due CHECK ((due_at IS NULL) = (finished_at IS NOT NULL))
);
CREATE INDEX fan_outs_due ON fan_outs (lane, due_at) WHERE due_at IS NOT NULL;
COMMENT ON TABLE fan_outs IS 'events for a role with more members than are read at once';
COMMENT ON COLUMN fan_outs.cursor IS 'the id of the last person told; the next slice begins after it';
COMMENT ON COLUMN fan_outs.due_at IS 'when the next slice is published again, if nobody has worked on it meanwhile'
"""


def upgrade() -> None:
    for statement in FAN_OUTS.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE fan_outs")

"""How far each queue of couriers has been worked, by the marks that timers put into it and couriers send back.

A table of one row a queue, and better words for a time. A worker of the version before goes on: it takes a mark for a
job with nothing to do.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MARKS = """
CREATE TABLE marks (
    channel    text NOT NULL,
    lane       text NOT NULL,
    sent_at    timestamptz NOT NULL,
    reached_at timestamptz,
    PRIMARY KEY (channel, lane)
);
COMMENT ON COLUMN marks.sent_at IS 'when the newest mark was put into the queue';
COMMENT ON COLUMN marks.reached_at IS 'when the newest mark that came back had been put in';
COMMENT ON COLUMN deliveries.due_at IS
    'waiting: when it is sent next; queued: since when its job may be called lost; leased: when the lease runs out'
"""


def upgrade() -> None:
    for statement in MARKS.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE marks")

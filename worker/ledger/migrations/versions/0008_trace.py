"""What decided: which routes an event had, what put a person into an audience, what let each delivery be sent or not.

Two more indexes: the events in the order of their arrival, to be walked in small steps, and of a large audience's rows
one person's, without a look at the others'. Columns are added and none changed: a worker of the version before goes on,
and leaves them empty.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TRACE = """
ALTER TABLE events ADD COLUMN routes text;
COMMENT ON COLUMN events.routes IS 'the routes of its type and whom each told: user=user_id admins=role:admin';
ALTER TABLE notifications ADD COLUMN rule text;
COMMENT ON COLUMN notifications.rule IS
    'what put the person into its audience: audience (the event''s own), user_id or user_ids (its data), role:NAME';
ALTER TABLE deliveries ADD COLUMN decided_by text;
COMMENT ON COLUMN deliveries.decided_by IS
    'critical, default (no preference), a preference as `scope on channel`, or empty where none was asked'
"""

INDEXES = """
CREATE INDEX events_received_at ON events (received_at);
CREATE INDEX notifications_event_person ON notifications (event_key, person_id);
DROP INDEX notifications_event;
CREATE INDEX deliveries_event_person ON deliveries (event_key, person_id);
DROP INDEX deliveries_event
"""


def upgrade() -> None:
    for script in (TRACE, INDEXES):
        for statement in script.split(";\n"):
            op.execute(statement)


def downgrade() -> None:
    op.execute("CREATE INDEX deliveries_event ON deliveries (event_key)")
    op.execute("CREATE INDEX notifications_event ON notifications (event_key)")
    op.execute("DROP INDEX deliveries_event_person, notifications_event_person, events_received_at")
    op.execute("ALTER TABLE deliveries DROP COLUMN decided_by")
    op.execute("ALTER TABLE notifications DROP COLUMN rule")
    op.execute("ALTER TABLE events DROP COLUMN routes")

"""What is old can be found by type and age.

Indexes only: a worker of the version before goes on. The block-range index gives way, because rows that retention
deletes make room for new ones in the old blocks, and then every block holds every age.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX events_age ON events (type, received_at)")
    op.execute("DROP INDEX events_received")
    op.execute("CREATE INDEX dead_letters_resolved ON dead_letters (resolved_at) WHERE state <> 'open'")


def downgrade() -> None:
    op.execute("DROP INDEX dead_letters_resolved")
    op.execute("CREATE INDEX events_received ON events USING brin (received_at)")
    op.execute("DROP INDEX events_age")

"""What an inbox shows beside a notification's words: icon, picture, who did it.

A column is added and nothing changed: a worker of the version before goes on, and leaves it empty.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE notifications ADD COLUMN trimmings jsonb")
    op.execute("COMMENT ON COLUMN notifications.trimmings IS 'icon, image, actor, actor_image: raw words and web URLs'")


def downgrade() -> None:
    op.execute("ALTER TABLE notifications DROP COLUMN trimmings")

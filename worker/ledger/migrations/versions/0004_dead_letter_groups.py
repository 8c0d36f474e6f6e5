"""What a dead letter must tell of its burial, so that letters of one trouble can be looked at and treated as one.

Columns are added with defaults and an index is made anew: a worker of the version before goes on, and leaves the
new columns as they are by themselves.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE dead_letters
    ADD COLUMN first_seen_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN kabar_version text NOT NULL DEFAULT coalesce(current_setting('kabar.version', true), ''),
    ADD COLUMN template_version text NOT NULL DEFAULT '',
    ADD COLUMN provider text NOT NULL DEFAULT '';
UPDATE dead_letters SET first_seen_at = created_at;
COMMENT ON COLUMN dead_letters.created_at IS 'when it arrived, or arrived again';
COMMENT ON COLUMN dead_letters.kabar_version IS
    'of the process that buried it, which its session says; empty: one that did not say so yet';
COMMENT ON COLUMN dead_letters.template_version IS 'what the delivery''s last attempt was rendered from';
COMMENT ON COLUMN dead_letters.provider IS 'the account of the delivery''s last attempt'
"""

INDEXES = """
CREATE INDEX dead_letters_group ON dead_letters (fingerprint, created_at);
DROP INDEX dead_letters_open;
CREATE INDEX dead_letters_open ON dead_letters (created_at, id) WHERE state = 'open'
"""


def upgrade() -> None:
    for script in (COLUMNS, INDEXES):
        for statement in filter(str.strip, script.split(";\n")):
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX dead_letters_open, dead_letters_group")
    op.execute("CREATE INDEX dead_letters_open ON dead_letters (created_at) WHERE state = 'open'")
    op.execute(
        "ALTER TABLE dead_letters DROP COLUMN first_seen_at, DROP COLUMN kabar_version,"
        " DROP COLUMN template_version, DROP COLUMN provider"
    )

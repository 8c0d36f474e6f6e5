"""Texts published in the running system, and on each delivery which of them it was planned with and rendered from.

Everything is added and nothing changed: a worker of the version before goes on, and leaves the new columns empty.

Revision ID: 0002
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEMPLATES = """
CREATE TABLE templates (
    id           bigint PRIMARY KEY,
    event_type   text NOT NULL,
    audience     text NOT NULL,
    locale       text NOT NULL,
    channel      text NOT NULL,
    version      integer NOT NULL CHECK (version > 0),
    source       text,
    author       text NOT NULL,
    note         text NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (event_type, audience, locale, channel, version)
);
COMMENT ON COLUMN templates.id IS 'the edition: counts publishes of all texts, in the order of their commits';
COMMENT ON COLUMN templates.channel IS 'empty, or the only channel it is for';
COMMENT ON COLUMN templates.version IS 'counts the publishes of this text from 1; the file that comes with Kabar is 0';
COMMENT ON COLUMN templates.source IS 'null: from this edition on the file holds again'
"""

DELIVERIES = """
ALTER TABLE deliveries ADD COLUMN template_edition bigint, ADD COLUMN template_version text;
COMMENT ON COLUMN deliveries.template_edition IS
    'the newest edition when it was planned: nothing published later changes it; null: what is newest at render';
COMMENT ON COLUMN deliveries.template_version IS
    'what it was rendered from: locale, channel''s own wording if any, version; a file by the beginning of its hash'
"""


def upgrade() -> None:
    for script in (TEMPLATES, DELIVERIES):
        for statement in filter(str.strip, script.split(";\n")):
            op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE deliveries DROP COLUMN template_edition, DROP COLUMN template_version")
    op.execute("DROP TABLE templates")

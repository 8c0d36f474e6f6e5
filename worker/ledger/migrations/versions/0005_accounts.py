"""What providers bear: their accounts' breakers and limits, how fast one address may be written to, and who sent what.

Everything is added and nothing changed: a worker of the version before goes on, knows of no breaker but its own, and
leaves the new column empty.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ACCOUNTS = """
CREATE TABLE accounts (
    name       text PRIMARY KEY,
    provider   text NOT NULL,
    state      text NOT NULL DEFAULT 'closed' CHECK (state IN ('closed', 'open', 'probing', 'ramping')),
    reason     text NOT NULL DEFAULT '',
    failures   integer NOT NULL DEFAULT 0,
    open_until timestamptz,
    ramp_from  timestamptz,
    token      bigint,
    next_at    timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT accounts_rest_is_dated CHECK (state NOT IN ('open', 'probing') OR open_until IS NOT NULL),
    CONSTRAINT accounts_ramp_is_dated CHECK (state <> 'ramping' OR ramp_from IS NOT NULL)
) WITH (fillfactor = 50);
COMMENT ON COLUMN accounts.name IS 'the channel; a second provider of it is email:2';
COMMENT ON COLUMN accounts.provider IS 'its host, never a credential';
COMMENT ON COLUMN accounts.failures IS 'how often it was opened since it was last well for a whole ramp';
COMMENT ON COLUMN accounts.open_until IS 'open: when it may be probed; probing: when another may probe in its stead';
COMMENT ON COLUMN accounts.token IS 'the newest probe; only its own outcome counts';
COMMENT ON COLUMN accounts.next_at IS 'when the next send may begin that nobody has reserved';
"""

PACES = """
CREATE UNLOGGED TABLE paces (
    key     bigint PRIMARY KEY,
    next_at timestamptz NOT NULL,
    tail_at timestamptz NOT NULL,
    wanted  integer NOT NULL DEFAULT 0,
    put_off integer NOT NULL DEFAULT 0,
    granted integer NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
COMMENT ON TABLE paces IS 'not logged: what is lost in a crash is asked of the provider again';
COMMENT ON COLUMN paces.key IS 'a hash of channel and address: what it stands for cannot be read here';
COMMENT ON COLUMN paces.next_at IS 'when the next message to this address may begin';
COMMENT ON COLUMN paces.tail_at IS 'the slot behind the last message that was put off';
COMMENT ON COLUMN paces.wanted IS 'how many messages the newest lease wanted to this address';
COMMENT ON COLUMN paces.put_off IS 'how many of those had been put off before';
COMMENT ON COLUMN paces.granted IS 'how many of those it got'
"""

DELIVERIES = """
ALTER TABLE deliveries ADD COLUMN provider text;
COMMENT ON COLUMN deliveries.provider IS 'the host of the provider that was tried last: where it is sent, that sent it'
"""


def upgrade() -> None:
    for script in (ACCOUNTS, PACES, DELIVERIES):
        for statement in filter(str.strip, script.split(";\n")):
            op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE deliveries DROP COLUMN provider")
    op.execute("DROP TABLE accounts, paces")

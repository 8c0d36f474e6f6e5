"""What happens in a rolling upgrade: the schema changes under running workers, and old and new speak to each other."""

from __future__ import annotations

from time import monotonic

import asyncpg

from tests.faults.rounds import Round
from tests.faults.scene import Scene

NEWER_REVISION = "9999"
_PER_SECOND = 100
_WARM = 150
_REST_SECONDS = 60
# As a migration of a later version may be: columns with and without a default, an index, a table, all at once.
_MIGRATION = """
ALTER TABLE events ADD COLUMN later text;
ALTER TABLE notifications ADD COLUMN later jsonb NOT NULL DEFAULT '{}';
ALTER TABLE deliveries ADD COLUMN later timestamptz, ADD COLUMN weight int NOT NULL DEFAULT 1;
ALTER TABLE people ADD COLUMN later text NOT NULL DEFAULT '';
ALTER TABLE addresses ADD COLUMN later bool NOT NULL DEFAULT false;
ALTER TABLE preferences ADD COLUMN later text;
ALTER TABLE attempts ADD COLUMN later text;
ALTER TABLE dead_letters ADD COLUMN later text;
CREATE INDEX deliveries_later ON deliveries (later) WHERE later IS NOT NULL;
CREATE TABLE later (id uuid PRIMARY KEY);
"""


async def migrate_while_running(stage: Scene) -> Round:
    """Migrate to a schema newer than the code under load, then let one more worker of that code start."""
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(_WARM, since=monotonic())
        tries = await _migrate(stage.database_url)
        await stage.until_accepted(_WARM, since=monotonic())
        await stage.start(1)
        await stage.until_accepted(_WARM, since=monotonic())
    recovered = await stage.quiet(within=_REST_SECONDS)
    books = await stage.tally(numbers)
    amiss = [f"a delivery took {books.attempts} attempts"] if books.attempts > 1 else []
    return Round(f"migrated to a newer schema (in {tries} tries)", books, recovered, amiss=tuple(amiss))


async def _migrate(url: str) -> int:
    """Migrate in one transaction, as `kabar migrate` does; answers how many it took, for it may meet a deadlock."""
    connection = await asyncpg.connect(url)
    tries = 0
    try:
        while True:
            tries += 1
            try:
                async with connection.transaction():
                    await connection.execute(_MIGRATION)
                    await connection.execute("UPDATE alembic_version SET version_num = $1", NEWER_REVISION)
            except asyncpg.DeadlockDetectedError:
                continue
            return tries
    finally:
        await connection.close()

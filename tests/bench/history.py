"""Rows of events as if they had gone through the worker: many at once, by SQL, for ledgers that are full."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

_EVENTS = """
INSERT INTO events (key, source, id, type, time, version, data, extensions, reason)
SELECT md5($2::text || 'e' || n)::uuid, 'bench/payments', $2::text || lpad(n::text, 7, '0'), 'bench.paid', now(), 1,
       jsonb_build_object(
           'user_id', 'person-' || lpad((n % $3::int)::text, 5, '0'), 'number', lpad(n::text, 7, '0'),
           'amount', '150000.00', 'currency', 'IDR', 'plan', 'Creator, one month',
           'paid_at', '2026-11-20T08:15:28Z', 'invoice_url', 'https://bench.test/invoices/' || n,
           'note', 'Thank you for the quick help last week, see you on the next stream'),
       '{}', ''
FROM generate_series(0, $1::int - 1) n
"""
_NOTIFICATIONS = """
INSERT INTO notifications (id, event_key, person_id, route, category, critical, expires_at)
SELECT md5($2::text || 'n' || n)::uuid, md5($2::text || 'e' || n)::uuid,
       'person-' || lpad((n % $3::int)::text, 5, '0'), 'user', 'billing', false, now() + interval '1 day'
FROM generate_series(0, $1::int - 1) n
"""
_DELIVERIES = """
INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state, attempt,
                        attempt_limit, on_unsure, due_at, expires_at, finished_at)
SELECT md5($2::text || 'd' || a.channel || n)::uuid, md5($2::text || 'n' || n)::uuid, md5($2::text || 'e' || n)::uuid,
       a.person_id, a.channel, a.address, 'bulk', $4::text, CASE $4::text WHEN 'sent' THEN 1 ELSE 0 END, 8, 'resend',
       CASE $4::text WHEN 'queued' THEN now() + interval '1 hour' END, now() + interval '1 day',
       CASE $4::text WHEN 'sent' THEN now() END
FROM generate_series(0, $1::int - 1) n
JOIN addresses a ON a.person_id = 'person-' || lpad((n % $3::int)::text, 5, '0')
"""
_CONSTRAINTS = """
SELECT c.conrelid::regclass::text AS owner, c.conname AS name, pg_get_constraintdef(c.oid) AS definition
FROM pg_constraint c
WHERE c.contype = 'p' AND c.conrelid IN ('events'::regclass, 'notifications'::regclass, 'deliveries'::regclass)
"""
_INDEXES = """
SELECT indexname AS name, indexdef AS definition FROM pg_indexes
WHERE tablename IN ('events', 'notifications', 'deliveries')
  AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE contype = 'p')
"""
_PATIENCE_SECONDS = 1500


async def fill(ledger: asyncpg.Connection[asyncpg.Record], events: int, *, prefix: str, people: int, state: str) -> int:
    """Write so many events with their deliveries in this `state`, `sent` or `queued`; answers how many deliveries.

    Ids are scattered as the worker's are. The indexes are made anew at the end, for that takes a tenth of the time.
    """
    await ledger.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'; SET work_mem = '256MB'")
    async with _without_indexes(ledger):
        await ledger.execute(_EVENTS, events, prefix, people, timeout=_PATIENCE_SECONDS)
        await ledger.execute(_NOTIFICATIONS, events, prefix, people, timeout=_PATIENCE_SECONDS)
        written = await ledger.execute(_DELIVERIES, events, prefix, people, state, timeout=_PATIENCE_SECONDS)
    # What follows is measured: neither a vacuum nor a checkpoint of ours may run then.
    await ledger.execute("VACUUM (ANALYZE) events, notifications, deliveries", timeout=_PATIENCE_SECONDS)
    await ledger.execute("CHECKPOINT", timeout=_PATIENCE_SECONDS)
    return int(written.rpartition(" ")[2])


@asynccontextmanager
async def _without_indexes(ledger: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[None]:
    keys, indexes = await ledger.fetch(_CONSTRAINTS), await ledger.fetch(_INDEXES)
    for key in keys:
        await ledger.execute(f"ALTER TABLE {key['owner']} DROP CONSTRAINT {key['name']}")
    for index in indexes:
        await ledger.execute(f"DROP INDEX {index['name']}")
    yield
    for key in keys:
        added = f"ALTER TABLE {key['owner']} ADD CONSTRAINT {key['name']} {key['definition']}"
        await ledger.execute(added, timeout=_PATIENCE_SECONDS)
    for index in indexes:
        await ledger.execute(index["definition"], timeout=_PATIENCE_SECONDS)


async def queued(ledger: asyncpg.Connection[asyncpg.Record], channel: str) -> list[UUID]:
    """Answer the deliveries of a channel that are ready."""
    rows = await ledger.fetch("SELECT id FROM deliveries WHERE state = 'queued' AND channel = $1", channel)
    return [UUID(int=row["id"].int) for row in rows]

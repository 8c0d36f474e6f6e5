"""What is old is deleted with all that came of it, and nothing that somebody still needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from schemas.catalogue import Catalogue, EventData
from worker.ledger.connection import Ledger
from worker.roles.retention import Retention


class Short(EventData, type="test.short", category="system", retention=timedelta(days=2)):
    """Kept for two days."""


class Usual(EventData, type="test.usual", category="system"):
    """Kept as long as the deployment says."""


EVENT = """
WITH event AS (
    INSERT INTO events (key, source, id, type, time, version, data, extensions, reason, received_at)
    VALUES (gen_random_uuid(), 'test', $1, $2, now(), 1, '{}', '{}', '', now() - make_interval(days => $3))
    RETURNING key
), notification AS (
    INSERT INTO notifications (id, event_key, person_id, route, category, critical, expires_at)
    SELECT gen_random_uuid(), key, 'ani', 'user', 'system', false, now() FROM event
    RETURNING id, event_key
), delivery AS (
    INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state, attempt_limit,
                            on_unsure, due_at, expires_at, finished_at)
    SELECT gen_random_uuid(), id, event_key, 'ani', 'email', 'a@x.test', 'normal', $4, 8, 'hold',
           CASE WHEN $4 IN ('waiting', 'queued', 'leased') THEN now() + interval '1 d' END, now() + interval '9 d',
           CASE WHEN $4 NOT IN ('waiting', 'queued', 'leased') THEN now() END
    FROM notification RETURNING id
), attempt AS (
    INSERT INTO attempts (delivery_id, attempt, outcome, reason, detail) SELECT id, 1, 'deferred', 'x', '' FROM delivery
)
INSERT INTO dead_letters (id, kind, delivery_id, event_id, event_type, stage, reason, fingerprint, state, resolved_at)
SELECT gen_random_uuid(), 'delivery', id, $1, $2, 'settle', 'x', 'f', $5, CASE WHEN $5 <> 'open' THEN now() END
FROM delivery WHERE $5 <> ''
"""
LETTER = """
INSERT INTO dead_letters (id, kind, event_id, event_type, stage, reason, fingerprint, body, state, resolved_at)
VALUES (gen_random_uuid(), 'event', $1, 't', 'accept', 'x', 'f', '', $2, now() - make_interval(days => $3))
"""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    made = Ledger(database_url)
    await made.open()
    yield made
    await made.aclose()


async def swept(ledger: Ledger, gone: str) -> set[str]:
    """Sweep what is over thirty days old, until `gone` is; answers the ids of the events that are left."""
    role = Retention(ledger, Catalogue([Short, Usual]), timedelta(days=30))
    running = asyncio.create_task(role.run())
    async with asyncio.timeout(30):
        while gone in (left := {row["id"] for row in await ledger.fetch("SELECT id FROM events")}):
            await asyncio.sleep(0.02)
        role.stop()
        await running
    return left


async def put(ledger: Ledger, event_id: str, kind: str, days: int, state: str = "sent", letter: str = "") -> None:
    await ledger.fetch(EVENT, event_id, kind, days, state, letter)


async def test_an_event_goes_when_its_time_is_over_with_all_that_came_of_it(ledger: Ledger) -> None:
    """Its type's own time holds over the deployment's; a type that no catalogue has any more keeps the deployment's."""
    await put(ledger, "usual-29", "test.usual", 29)
    await put(ledger, "short-3", "test.short", 3)
    await put(ledger, "short-1", "test.short", 1)
    await put(ledger, "forgotten-29", "gone.type", 29)
    await put(ledger, "forgotten-31", "gone.type", 31)
    for number in range(1200):
        await put(ledger, f"many-{number}", "test.usual", 40)
    await put(ledger, "usual-31", "test.usual", 31)

    left = await swept(ledger, "usual-31")

    assert left == {"usual-29", "short-1", "forgotten-29"}
    for table in ("notifications", "deliveries", "attempts"):
        assert (await ledger.fetch(f"SELECT count(*) FROM {table}"))[0][0] == 3  # noqa: S608 - a table of ours


async def test_what_somebody_still_needs_is_kept_however_old(ledger: Ledger) -> None:
    """Deliveries under way, those held for an operator, and those with an open dead letter."""
    for state in ("waiting", "queued", "leased", "unsure"):
        await put(ledger, state, "test.usual", 400, state)
    await put(ledger, "open", "test.usual", 400, "dead", "open")
    await put(ledger, "replayed", "test.usual", 400, "sent", "replayed")
    await put(ledger, "dropped", "test.usual", 300, "dead", "dropped")

    left = await swept(ledger, "dropped")

    assert left == {"waiting", "queued", "leased", "unsure", "open"}
    assert [tuple(row) for row in await ledger.fetch("SELECT state, event_id FROM dead_letters")] == [("open", "open")]


async def test_a_rejected_event_is_kept_until_somebody_has_dealt_with_it(ledger: Ledger) -> None:
    """And for as long again as events are kept."""
    await ledger.fetch(LETTER, "open", "open", 400)
    await ledger.fetch(LETTER, "lately", "dropped", 29)
    await ledger.fetch(LETTER, "long-ago", "replayed", 31)
    await put(ledger, "old", "test.usual", 31)

    await swept(ledger, "old")

    assert {row["event_id"] for row in await ledger.fetch("SELECT event_id FROM dead_letters")} == {"open", "lately"}

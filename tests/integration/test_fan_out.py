"""An event for more people than are read at once: told in slices, whatever dies or disappears in between."""

from __future__ import annotations

import asyncio
import json

import aio_pika
import asyncpg

from schemas.events.system import SystemError as SystemFailed
from schemas.producer import Producer
from tests.processes import worker
from tests.proxy import proxy
from worker.settings import Settings

MEMBERS = 4200
OVERDUE = (
    "UPDATE fan_outs SET due_at = now() WHERE due_at IS NOT NULL",
    "UPDATE deliveries SET due_at = now() WHERE state = 'queued'",
)
"""What a minute would bring."""
WAITS_FOR_US = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"


def settings_for(database_url: str, amqp_url: str) -> Settings:
    return Settings(amqp_url=amqp_url, database_url=database_url, channels=("inbox",), http_port=0)


async def a_crowd(database_url: str) -> asyncpg.Connection[asyncpg.Record]:
    """A ledger in which 4,200 people have the role admin and one has not."""
    ledger = await asyncpg.connect(database_url)
    await ledger.execute(
        "INSERT INTO people (id, roles, changed_at) SELECT 'p' || n, '{admin}', now() FROM generate_series(1, $1) n",
        MEMBERS,
    )
    await ledger.execute("INSERT INTO people (id, roles, changed_at) VALUES ('zoe', '{}', now())")
    return ledger


async def until(ledger: asyncpg.Connection[asyncpg.Record], query: str, wanted: int, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while await ledger.fetchval(query) < wanted:
            await asyncio.sleep(0.02)


async def everybody_was_told_once(ledger: asyncpg.Connection[asyncpg.Record]) -> None:
    await until(ledger, "SELECT count(*) FROM deliveries WHERE channel = 'inbox' AND state = 'sent'", MEMBERS)
    row = await ledger.fetchrow(
        "SELECT count(*) AS told, count(DISTINCT person_id) AS people, min(expires_at) = max(expires_at) AS one_expiry"
        " FROM notifications WHERE shown_at IS NOT NULL"
    )
    assert row is not None
    assert tuple(row) == (MEMBERS, MEMBERS, True)
    audience = await ledger.fetchrow("SELECT people, finished_at IS NOT NULL AS is_told FROM fan_outs")
    assert audience is not None
    assert tuple(audience) == (MEMBERS, True)


async def test_a_large_audience_is_told_once_although_workers_are_killed(database_url: str, rabbitmq_url: str) -> None:
    """Two workers are killed in the middle, one after the other; the third goes on where they stood."""
    ledger = await a_crowd(database_url)
    settings = settings_for(database_url, rabbitmq_url)
    for told in (1, MEMBERS // 2):
        async with worker(settings) as doomed:
            if told == 1:
                async with Producer(rabbitmq_url, source="ops") as producer:
                    await producer.publish(SystemFailed(service="api", error="disk full", severity="high"))
            await until(ledger, "SELECT coalesce(sum(people), 0) FROM fan_outs", told)
            doomed.kill()

    async with worker(settings):
        await until(ledger, "SELECT count(*) FROM fan_outs WHERE finished_at IS NOT NULL", 1)
        # What the dead had leased is resent when its lease has run out, which takes a minute: now.
        await ledger.execute("UPDATE deliveries SET due_at = now() WHERE state = 'leased'")
        await everybody_was_told_once(ledger)
    await ledger.close()


async def test_a_slice_that_an_operator_purged_is_published_again(database_url: str, rabbitmq_url: str) -> None:
    """The ledger knows how far the audience was told, and makes the message anew."""
    ledger = await a_crowd(database_url)
    settings = settings_for(database_url, rabbitmq_url)
    async with worker(settings, "intake") as intake, Producer(rabbitmq_url, source="ops") as producer:
        await producer.publish(SystemFailed(service="api", error="disk full", severity="high"), audience="role:admin")
        await until(ledger, "SELECT coalesce(sum(people), 0) FROM fan_outs", 500)
        intake.kill()
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        for lane in ("urgent", "normal", "bulk"):
            queue = await channel.get_queue(f"kabar.intake.{lane}")
            await queue.purge()
    assert await ledger.fetchval("SELECT count(*) FROM fan_outs WHERE finished_at IS NULL") == 1

    async with worker(settings):
        for statement in OVERDUE:
            await ledger.execute(statement)
        await everybody_was_told_once(ledger)
    await ledger.close()


async def test_a_slice_whose_answer_was_lost_goes_on_at_once(database_url: str, rabbitmq_url: str) -> None:
    """The wire to the database breaks after a slice is written and before that is known: nobody waits for the timer."""
    ledger = await a_crowd(database_url)
    async with proxy(database_url) as wire, worker(settings_for(wire.url, rabbitmq_url), "intake", "courier"):
        async with Producer(rabbitmq_url, source="ops") as producer:
            await producer.publish(SystemFailed(service="api", error="disk full", severity="high"))
        await until(ledger, "SELECT coalesce(sum(people), 0) FROM fan_outs", 1)
        async with ledger.transaction():
            told = await ledger.fetchval("SELECT people FROM fan_outs FOR UPDATE")
            await until(ledger, WAITS_FOR_US, 1)
            await wire.cut()
        await until(ledger, "SELECT people FROM fan_outs", told + 1)
        await wire.open()
        # Without a timer, nobody else could go on.
        await until(ledger, "SELECT count(*) FROM fan_outs WHERE finished_at IS NOT NULL", 1, seconds=30)
    assert await ledger.fetchval("SELECT count(DISTINCT person_id) FROM notifications") == MEMBERS
    await ledger.close()


async def test_a_producers_own_cursor_means_nothing(database_url: str, rabbitmq_url: str) -> None:
    """An event whose header looks like that of a slice is taken in as what it is: an event, told to everybody."""
    ledger = await a_crowd(database_url)
    event = {"service": "api", "error": "disk full", "severity": "high"}
    async with worker(settings_for(database_url, rabbitmq_url)):
        async with await aio_pika.connect(rabbitmq_url) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange("kabar.events")
            for _ in range(2):
                await exchange.publish(
                    aio_pika.Message(
                        json.dumps(event).encode(), content_type="application/json", message_id="e1", app_id="ops",
                        headers={"x-kabar-cursor": "p9"},
                    ),
                    "system.error",
                )  # fmt: skip
        await everybody_was_told_once(ledger)
    await ledger.close()

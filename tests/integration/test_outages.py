"""While PostgreSQL or RabbitMQ is away Kabar waits, says why, spends no attempt, and goes on by itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import aiohttp
import asyncpg
from aiormq.abc import AbstractConnection

from schemas.catalogue import Catalogue
from schemas.events.billing import PaymentFailed
from schemas.producer import Producer
from tests.acceptance.world import World, a_simulator, a_world, settings_for
from tests.processes import worker
from tests.proxy import proxy
from worker.bootstrap import Process
from worker.broker.connection import Link
from worker.broker.consumer import Consumer, Inbox
from worker.broker.publisher import Publisher, until_published
from worker.broker.topology import declare, topology
from worker.deployment import BUILT_IN_EVENTS
from worker.ledger.connection import Ledger
from worker.pipeline.lease import lease

TOPOLOGY = topology(Catalogue.of_modules(BUILT_IN_EVENTS), ("inbox",))
HALF = 30


def failed(number: int) -> PaymentFailed:
    return PaymentFailed(user_id="ani", payment_id=f"p{number}", amount="1", currency="USD", reason="expired")


async def readiness(port: int) -> tuple[int, str]:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/readyz") as answer:
        return answer.status, await answer.text()


async def metrics_of(port: int) -> list[str]:
    """The lines of /metrics."""
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return (await answer.text()).splitlines()


async def until_ready_says(port: int, status: int, word: str = "") -> None:
    async with asyncio.timeout(15):
        while True:
            answered, text = await readiness(port)
            if answered == status and word in text:
                return
            await asyncio.sleep(0.05)


async def everything_went_out_once(world: World) -> None:
    await world.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'sent'", count=2 * HALF)
    assert len(world.simulator.arrived("email")) == 2 * HALF
    assert (await world.rows("SELECT max(attempt) FROM deliveries WHERE channel = 'email'"))[0][0] == 1
    assert await world.rows("SELECT 1 FROM dead_letters") == []


async def test_a_database_outage_costs_nothing_but_time(database_url: str, rabbitmq_url: str) -> None:
    """Events published while the database is away wait at the broker; readiness says why; all go out once."""
    async with proxy(database_url) as wire, a_world(database_url, rabbitmq_url, worker_database=wire.url) as world:
        await world.know("ani")
        await world.tell(*map(failed, range(HALF)))
        await world.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'sent'", count=HALF)

        await wire.cut()
        await world.tell(*map(failed, range(HALF, 2 * HALF)))
        await until_ready_says(world.process.http_port, 503, "database")
        away = await metrics_of(world.process.http_port)
        await wire.open()

        await until_ready_says(world.process.http_port, 200)
        await everything_went_out_once(world)
        assert {'kabar_paused{cause="database"} 1.0', 'kabar_paused{cause="broker_publish"} 0.0'} <= {*away}
        assert 'kabar_ready{role="courier"} 0.0' in away
        back = await metrics_of(world.process.http_port)
        assert {'kabar_paused{cause="database"} 0.0', 'kabar_ready{role="courier"} 1.0'} <= {*back}


async def test_a_broker_outage_costs_nothing_but_time(database_url: str, rabbitmq_url: str) -> None:
    """Both connections are lost and refused for a while; afterwards Kabar consumes and publishes again by itself."""
    async with proxy(rabbitmq_url) as wire, a_world(database_url, rabbitmq_url, worker_broker=wire.url) as world:
        await world.know("ani")
        await world.tell(*map(failed, range(HALF)))

        await wire.cut()
        await world.tell(*map(failed, range(HALF, 2 * HALF)))
        await until_ready_says(world.process.http_port, 503, "broker")
        away = await metrics_of(world.process.http_port)
        await wire.open()

        await until_ready_says(world.process.http_port, 200)
        await everything_went_out_once(world)
        assert any(re.fullmatch(r'kabar_paused\{cause="broker_\w+"\} 1.0', line) for line in away)


async def test_a_process_starts_while_everything_is_away_and_is_ready_when_it_is_back(
    database_url: str, rabbitmq_url: str
) -> None:
    """Start order does not matter: a worker that finds nothing waits, alive and not ready."""
    async with proxy(database_url) as base, proxy(rabbitmq_url) as broker, a_simulator() as simulator:
        process, stop = Process(settings_for(simulator, base.url, broker.url)), asyncio.Event()
        await base.cut()
        await broker.cut()
        async with asyncio.TaskGroup() as group:
            group.create_task(process.run(stop))
            while not process.http_port:
                await asyncio.sleep(0.01)
            await until_ready_says(process.http_port, 503, "broker")
            await until_ready_says(process.http_port, 503, "database")

            await base.open()
            await broker.open()

            await asyncio.wait_for(process.ready.wait(), 15)
            assert (await readiness(process.http_port))[0] == 200
            stop.set()


async def test_a_purged_queue_is_filled_again(database_url: str, rabbitmq_url: str) -> None:
    """An operator purges the couriers' queue: what was in it is published again within a minute and a half."""
    async with a_world(database_url, rabbitmq_url, roles=("intake",)) as world:
        await world.know("ani")
        await world.tell(failed(1))
        await world.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'queued'")
        channel = await world.broker.channel()
        queue = await channel.get_queue("kabar.deliver.email.normal")
        await queue.purge()
        await world.rows("UPDATE deliveries SET due_at = now() WHERE state = 'queued'")

        async with worker(world.settings, "timer", "courier"), Producer(rabbitmq_url, source="shop"):
            await world.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'sent'")


async def test_a_deleted_queue_is_there_again_with_its_work_and_its_consumers(
    database_url: str, rabbitmq_url: str
) -> None:
    """An operator deletes queues under running workers: they are declared, consumed and filled again by themselves."""
    lanes = [f"kabar.{name}.normal" for name in ("intake", "deliver.email", "deliver.inbox")]
    async with a_world(database_url, rabbitmq_url) as world:
        await world.know("ani")
        channel = await world.broker.channel()
        for name in lanes:
            queue = await channel.get_queue(name, ensure=False)
            await queue.delete(if_unused=False, if_empty=False)

        async with asyncio.timeout(15):
            while [name for name in lanes if not await _consumers(world, name)]:
                await asyncio.sleep(0.1)
        await world.tell(*map(failed, range(HALF)))
        await world.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'sent'", count=HALF)


async def test_jobs_lost_with_a_deleted_queue_are_published_again(database_url: str, rabbitmq_url: str) -> None:
    """Nothing but the queue knew that they were ready; a minute later the timer misses them, and no other."""
    async with a_world(database_url, rabbitmq_url, roles=("intake",)) as world:
        await world.know("ani")
        await world.tell(*map(failed, range(HALF)))
        await world.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'queued'", count=HALF)
        channel = await world.broker.channel()
        queue = await channel.get_queue("kabar.deliver.email.normal")
        await queue.delete(if_unused=False, if_empty=False)

        async with worker(world.settings, "timer", "courier"):
            await world.until("SELECT 1 FROM deliveries WHERE channel = 'inbox' AND state = 'sent'", count=HALF)
            assert not await world.rows("SELECT 1 FROM deliveries WHERE channel = 'email' AND state <> 'queued'")
            await world.rows("UPDATE deliveries SET due_at = now() WHERE state = 'queued'")
            await world.until("SELECT 1 FROM marks WHERE channel = 'email' AND reached_at IS NOT NULL")
            await world.until("SELECT 1 FROM deliveries WHERE channel = 'email' AND state = 'sent'", count=HALF)

        assert len(world.simulator.arrived("email")) == HALF


async def _consumers(world: World, queue: str) -> int:
    """Count who consumes a queue; 0 where it is not there."""
    channel = await world.broker.channel()
    try:
        declared = await channel.declare_queue(queue, passive=True)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        return 0
    else:
        return declared.declaration_result.consumer_count or 0
    finally:
        await channel.close()


async def declare_all(connection: AbstractConnection) -> None:
    channel = await connection.channel()
    await declare(channel, TOPOLOGY)
    await channel.close()


@asynccontextmanager
async def held(link: Link) -> AsyncIterator[None]:
    """Keep a link up."""
    holding = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(15):
            await link.up.wait()
        yield
    finally:
        holding.cancel()
        await asyncio.wait([holding])
        await link.aclose()


async def test_a_broker_that_falls_silent_is_away_and_ends_no_task(rabbitmq_url: str) -> None:
    """A publish under way when the silence is noticed is repeated until the broker speaks again."""
    async with proxy(rabbitmq_url) as wire:
        publisher = Publisher([f"{wire.url}?heartbeat=1"], declare_all)
        async with held(publisher.link):
            wire.fall_silent()
            publishing = asyncio.create_task(
                until_published(lambda: publisher.publish_status("delivery.sent.inbox", b"[]", "application/json"))
            )
            async with asyncio.timeout(15):
                while not publisher.link.outage:
                    await asyncio.sleep(0.05)
            wire.speak()

            await asyncio.wait_for(asyncio.wait([publishing]), 30)

            assert not publishing.cancelled()
            assert publishing.exception() is None


async def test_a_broker_that_falls_silent_holds_up_no_drain(rabbitmq_url: str) -> None:
    """However many queues are consumed, giving them up costs one patience and not one each."""
    async with proxy(rabbitmq_url) as wire:
        consumer = Consumer([wire.url], [Inbox(queue.name, 1) for queue in TOPOLOGY.queues], declare_all)
        async with held(consumer.link):
            wire.fall_silent()

            await asyncio.wait_for(consumer.stop(), 6)

            wire.speak()


async def test_a_publisher_leaves_a_node_that_confirms_nothing_for_the_next(rabbitmq_url: str) -> None:
    """A node that keeps its connection open and confirms nothing is left long before its heartbeats are missed."""
    async with proxy(rabbitmq_url) as wire:
        publisher = Publisher([wire.url, rabbitmq_url], declare_all)
        async with held(publisher.link):
            wire.fall_silent()

            async with asyncio.timeout(10):
                await until_published(
                    lambda: publisher.publish_status("delivery.sent.inbox", b"[]", "application/json")
                )


async def test_what_cannot_be_written_is_told_of_though_others_can_read(
    empty_database_url: str, database_url: str
) -> None:
    """A database that has become read-only is away for as long as it is, and found again by the same process."""
    name = empty_database_url.rpartition("/")[2]
    operator = await asyncpg.connect(database_url)
    await operator.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    ledger = Ledger(empty_database_url)
    await ledger.open()
    writing = asyncio.create_task(ledger.persist(lambda: ledger.fetch("CREATE TABLE kept AS SELECT 42 AS answer")))
    async with asyncio.timeout(15):
        while not ledger.outage:
            await asyncio.sleep(0.01)

    for_so_long = ledger.away_seconds
    await ledger.persist(lambda: ledger.fetch("SELECT 1"))
    assert ledger.outage == "the database is away (ReadOnlySQLTransactionError)"
    assert ledger.away_seconds > for_so_long
    await operator.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await asyncio.wait_for(writing, 15)
    assert ledger.outage == ""
    assert (await ledger.fetch("SELECT answer FROM kept"))[0]["answer"] == 42
    await ledger.aclose()
    await operator.close()


async def test_a_lease_whose_answer_was_lost_costs_no_attempt_and_no_doubt(
    database_url: str, rabbitmq_url: str
) -> None:
    """The wire breaks after the claim and before its answer: the same deliveries are claimed again, as untouched."""
    async with a_world(database_url, rabbitmq_url, roles=("intake",)) as world:
        await world.know("ani")
        await world.tell(failed(1))
        [[delivery]] = await world.until("SELECT id FROM deliveries WHERE channel = 'email' AND state = 'queued'")
    operator = await asyncpg.connect(database_url)
    async with proxy(database_url) as wire:
        ledger = Ledger(wire.url)
        await ledger.open()
        async with operator.transaction():
            await operator.execute("SELECT 1 FROM deliveries WHERE id = $1 FOR UPDATE", delivery)
            leasing = asyncio.create_task(lease(ledger, [delivery]))
            while not await operator.fetch(
                "SELECT 1 FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
            ):
                await asyncio.sleep(0.01)
            await wire.cut()
        while not await operator.fetch("SELECT 1 FROM deliveries WHERE id = $1 AND state = 'leased'", delivery):
            await asyncio.sleep(0.01)
        await wire.open()

        [leased], _ = await asyncio.wait_for(leasing, 15)

        assert (leased.id, leased.attempt) == (delivery, 1)
        await ledger.aclose()
    await operator.close()


async def test_the_time_is_the_databases(database_url: str) -> None:
    """Every process asks the same clock, and asks it once for many answers."""
    ledger = Ledger(database_url)
    await ledger.open()

    [[before]] = await ledger.fetch("SELECT clock_timestamp()")
    told = [await ledger.now() for _ in range(100)]
    [[after]] = await ledger.fetch("SELECT clock_timestamp()")

    assert told == sorted(told)
    assert before <= told[0]
    assert told[-1] <= after
    await ledger.aclose()

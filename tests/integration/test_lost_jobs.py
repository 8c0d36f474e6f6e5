"""A job that is lost while its queue is busy is missed and published again; a backlog that only waits is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import aio_pika
import orjson
import pytest

from schemas.catalogue import Lane
from schemas.events.billing import PaymentFailed
from schemas.jobs import MAX_JOB_DELIVERIES, Job, Mark
from tests.acceptance.world import World, a_world, running
from worker import metrics
from worker.bootstrap import Process
from worker.metrics import REGISTRY
from worker.roles import timer

QUEUE = "kabar.deliver.email.normal"
LOOK_SECONDS = 0.3
BUSY = 200
BACKLOG = 100_000
BACKLOG_ROWS = """
WITH event AS (SELECT key FROM events WHERE type = 'payment.failed'), n AS (SELECT generate_series(1, $1::int) AS n),
notification AS (
    INSERT INTO notifications (id, event_key, person_id, route, category, critical, expires_at)
    SELECT md5('n' || n)::uuid, key, 'ani', 'user', 'billing', false, now() + interval '1 day' FROM n, event
)
INSERT INTO deliveries (id, notification_id, event_key, person_id, channel, address, lane, state, attempt_limit,
                        on_unsure, due_at, expires_at)
SELECT md5('d' || n)::uuid, md5('n' || n)::uuid, key, 'ani', 'email', 'ani@example.com', 'normal', 'queued', 3,
       'resend', now() - interval '1 hour' + n * interval '10 ms', now() + interval '1 day' FROM n, event
RETURNING id
"""

# Not what the courier gave back when it was stopped.
TAKEN_FOR_LOST = "SELECT 1 FROM deliveries WHERE state = 'queued' AND due_at > now() AND reason <> 'shutdown'"


@pytest.fixture(autouse=True)
def timers_look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds are a long time to wait for in a test."""
    monkeypatch.setattr(timer, "LOOK_SECONDS", LOOK_SECONDS)


def failed(number: int) -> PaymentFailed:
    return PaymentFailed(user_id="ani", payment_id=f"p{number}", amount="1", currency="USD", reason="expired")


def healed() -> float:
    return REGISTRY.get_sample_value("kabar_timer_work_total", {"kind": "healed"}) or 0.0


async def depth(channel: aio_pika.abc.AbstractChannel, name: str = QUEUE) -> int:
    queue = await channel.declare_queue(name, passive=True)
    return queue.declaration_result.message_count or 0


async def publish(channel: aio_pika.abc.AbstractChannel, *jobs: Job) -> None:
    for job in jobs:
        message = aio_pika.Message(job.model_dump_json().encode(), delivery_mode=2)
        await channel.default_exchange.publish(message, QUEUE)


async def a_minute_passes(world: World) -> None:
    await world.rows("UPDATE deliveries SET due_at = due_at - interval '1 min' WHERE state = 'queued'")
    await world.rows("UPDATE marks SET sent_at = sent_at - interval '1 min'")


async def a_look() -> None:
    """Wait until a timer of this process has measured the queue once more."""
    metrics.queue_messages.labels(QUEUE).set(-1)
    async with asyncio.timeout(20):
        while REGISTRY.get_sample_value("kabar_queue_messages", {"queue": QUEUE}) == -1:
            await asyncio.sleep(0.01)


async def single_jobs(world: World, count: int) -> aio_pika.abc.AbstractQueue:
    """Have so many deliveries ready, each with a job of its own; answers their queue."""
    await world.know("ani")
    await world.tell(*map(failed, range(count)))
    channel = await world.broker.channel()
    queue = await channel.get_queue(QUEUE)
    ids: list[UUID] = []
    while len(ids) < count:
        if job := await queue.get(no_ack=True, fail=False):
            ids += Job.model_validate_json(job.body).ids
    await publish(channel, *(Job(ids=[one]) for one in ids))
    return queue


@asynccontextmanager
async def never_empty(world: World) -> AsyncIterator[list[int]]:
    """Keep the queue busy with jobs of which nothing is left to do; the list is how many were in it at each look."""
    channel = await world.broker.channel(publisher_confirms=False)
    depths: list[int] = []

    async def feed() -> None:
        while True:
            depths.append(await depth(channel))
            if depths[-1] < BUSY:
                await publish(channel, *(Job(ids=[uuid4() for _ in range(MAX_JOB_DELIVERIES)]) for _ in range(BUSY)))

    feeding = asyncio.create_task(feed())
    while not depths or depths[-1] < BUSY:
        await asyncio.sleep(0.01)
    depths.clear()
    yield depths
    feeding.cancel()


async def test_single_jobs_lost_out_of_a_busy_queue_are_published_again(database_url: str, amqp_url: str) -> None:
    """The queue holds other work all the time; those whose turn it was and who were not told are told all the same."""
    async with a_world(database_url, amqp_url, roles=("intake",), channels=("email",)) as world:
        queue = await single_jobs(world, 20)
        kept = [await queue.get() for _ in range(3)]
        for _ in range(5):
            await queue.get(no_ack=True)
        for job in kept:
            await job.nack()
        await a_minute_passes(world)
        before = healed()

        async with never_empty(world) as depths, running(Process(world.settings, ("timer", "courier"))):
            await world.until("SELECT 1 FROM deliveries WHERE state = 'sent'", count=20)

        assert min(depths) > 0
        assert healed() - before == 5
        assert len(world.simulator.arrived("email")) == 20


async def test_a_large_backlog_that_only_waits_is_not_published_again(database_url: str, rabbitmq_url: str) -> None:
    """A hundred thousand have waited for an hour, for a provider that takes thirty a second: each has its one job."""
    async with a_world(database_url, rabbitmq_url, roles=("intake",), channels=("email",), smtp_per_second=30) as world:
        await world.know("ani")
        await world.tell(failed(0))
        await world.until("SELECT 1 FROM deliveries")
        rows = await world.rows(BACKLOG_ROWS, BACKLOG)
        channel = await world.broker.channel()
        ids = [row["id"] for row in rows]
        await publish(channel, *(Job(ids=ids[at : at + 64]) for at in range(0, BACKLOG, 64)))
        jobs, before = await depth(channel), healed()

        async with running(Process(world.settings, ("timer", "courier"))):
            for marks in range(1, 4):
                await world.until("SELECT 1 FROM deliveries WHERE state = 'sent'", count=50 * marks)
                await a_minute_passes(world)

        assert healed() == before
        assert await depth(channel) <= jobs + 4
        assert not await world.rows(TAKEN_FOR_LOST)
        assert [tuple(row) for row in await world.rows("SELECT channel, lane, reached_at FROM marks")] == [
            ("email", "normal", None)
        ]


async def test_a_purged_queue_without_couriers_is_filled_again(database_url: str, rabbitmq_url: str) -> None:
    """Couriers may have been scaled to none: by the jobs in its queue they are called."""
    async with a_world(database_url, rabbitmq_url, roles=("intake",), channels=("email",)) as world:
        queue = await single_jobs(world, 20)
        channel = await world.broker.channel()
        await queue.purge()
        await a_minute_passes(world)

        async with running(Process(world.settings, ("timer",))), asyncio.timeout(20):
            while await depth(channel) < 2:
                await asyncio.sleep(0.05)
            mark, job = await queue.get(), await queue.get()

        assert (Job.model_validate_json(mark.body).is_work, len(Job.model_validate_json(job.body).ids)) == (False, 20)


async def test_a_backlog_without_couriers_is_not_published_again(database_url: str, rabbitmq_url: str) -> None:
    """Nor does the queue fill with marks that nobody would send back."""
    async with a_world(database_url, rabbitmq_url, roles=("intake",), channels=("email",)) as world:
        await single_jobs(world, 20)
        channel = await world.broker.channel()
        before = healed()

        async with running(Process(world.settings, ("timer",))):
            for _ in range(3):
                await a_minute_passes(world)
                await a_look()

        assert (healed(), await depth(channel)) == (before, 20)


async def test_a_mark_comes_back_when_all_before_it_is_leased(database_url: str, amqp_url: str) -> None:
    """A courier holds several jobs that it has not begun: a mark that overtook them would call them lost."""
    async with a_world(database_url, amqp_url, roles=("intake",), channels=("email",), smtp_per_second=2) as world:
        await single_jobs(world, 3)
        channel = await world.broker.channel()
        sent = Mark(channel="email", lane=Lane.NORMAL, at=datetime.now(UTC))
        await publish(channel, sent)
        hall = await channel.get_queue("kabar.dead.deliver")
        left = set()

        async with running(Process(world.settings, ("courier",))), asyncio.timeout(20):
            while (mark := await hall.get(fail=False)) is None:
                left.add(len(await world.rows("SELECT 1 FROM deliveries WHERE state = 'queued'")))
            assert not await world.rows("SELECT 1 FROM deliveries WHERE state = 'queued'")

        assert left >= {1, 2, 3}
        assert Mark.model_validate_json(mark.body) == sent


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"channel": "a\0", "lane": "normal", "at": "2026-05-04T12:00:00Z"},
        {"channel": "email", "lane": "normal", "at": "0001-01-01T00:00:00+14:00"},
        {"channel": "email", "lane": "normal", "at": "9999-12-31T23:59:59-14:00"},
    ],
    ids=["empty", "odd channel", "before all time", "after all time"],
)
async def test_what_looks_like_a_mark_and_is_none_is_a_dead_letter(
    database_url: str, rabbitmq_url: str, more: dict[str, str]
) -> None:
    """Whoever publishes jobs beside Kabar is told what was wrong with them, and no timer dies of one."""
    async with a_world(database_url, rabbitmq_url, channels=("email",)) as world:
        channel = await world.broker.channel()
        message = aio_pika.Message(orjson.dumps({"v": 1, "ids": [], **more}), delivery_mode=2)
        await channel.default_exchange.publish(message, QUEUE)

        (letter,) = await world.until("SELECT * FROM dead_letters")

        assert (letter["kind"], letter["reason"]) == ("job", "job_malformed")


def test_a_mark_is_a_job_with_nothing_to_do_for_whoever_does_not_know_it() -> None:
    """Old and new workers share the queues while a version is rolled out.

    It names a delivery that there is not: an old courier settles no job that names none, and four fill its prefetch.
    """
    mark = Mark(channel="email", lane=Lane.NORMAL, at=datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC))

    assert Job.model_validate_json(mark.model_dump_json()) == Job(ids=[UUID(int=0)])
    assert Mark.model_validate_json(mark.model_dump_json()) == mark

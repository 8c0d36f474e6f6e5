"""What operators do to queues by mistake: they purge them, delete them, and take messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractQueue

from schemas.catalogue import Lane
from schemas.jobs import Job
from tests.faults.fakes import CHANNELS
from tests.faults.rounds import Round
from tests.faults.scene import Scene
from worker.broker.topology import deliver_queue, intake_queue

WORK_IS_BACK_SECONDS = 90
_PER_SECOND = 100
_MAILS_PER_SECOND = 50
_LOOK_SECONDS = 0.2
_STILL_LOST = "SELECT 1 FROM deliveries WHERE id = ANY($1::uuid[]) AND state = 'queued' AND attempt = 0 LIMIT 1"
_JOBS = tuple(deliver_queue(channel, Lane.NORMAL) for channel in CHANNELS)


async def purge_queues(stage: Scene, *, events: int) -> Round:
    """Purge the couriers' queues while they are full of jobs: the ledger knows what was in them."""
    for one in list(stage.workers):
        await stage.end(one)
    (feeder,) = await stage.start(1, "intake")
    numbers = await stage.publish(events)
    await stage.until("SELECT 1 FROM deliveries WHERE state = 'queued'", count=events * len(CHANNELS))
    await stage.end(feeder)
    async with _queues(stage, _JOBS) as queues:
        purged = [(await queue.purge()).message_count or 0 for queue in queues]
    began = monotonic()
    await stage.start(2)
    await stage.quiet(within=WORK_IS_BACK_SECONDS)
    recovered = monotonic() - began
    amiss = [] if all(purged) else [f"the queues were not full: {purged}"]
    return Round("queues purged", await stage.tally(numbers), recovered, amiss=tuple(amiss))


async def lose_jobs(stage: Scene, *, jobs: int) -> Round:
    """Take jobs out of the mails' queue, which is never empty: the mail server takes less than comes in."""
    for one in list(stage.workers):
        await stage.end(one)
    await stage.start(2, smtp_per_second=_MAILS_PER_SECOND)
    before = await stage.publish(4 * _MAILS_PER_SECOND)
    async with stage.load(per_second=1.02 * _MAILS_PER_SECOND) as numbers, _queues(stage, _JOBS[:1]) as (queue,):
        await stage.until_accepted(_MAILS_PER_SECOND, since=monotonic(), channel="email")
        lost = [one for _ in range(jobs) for one in await _take_out(queue)]
        began, least = monotonic(), jobs
        while monotonic() - began < WORK_IS_BACK_SECONDS and await stage.ask(_STILL_LOST, lost):
            least = min(least, (await queue.declare(timeout=5)).message_count or 0)
            await asyncio.sleep(_LOOK_SECONDS)
        recovered = monotonic() - began
    await stage.quiet(within=WORK_IS_BACK_SECONDS)
    amiss = [] if least else ["the queue was empty for a while"]
    books = await stage.tally([*before, *numbers])
    return Round("jobs lost out of a busy queue", books, recovered, amiss=tuple(amiss))


async def _take_out(queue: AbstractQueue) -> list[UUID]:
    """Take out the next job; answers what was in it."""
    while not (message := await queue.get(no_ack=True, fail=False)):
        await asyncio.sleep(_LOOK_SECONDS)
    return Job.model_validate_json(message.body).ids


async def delete_queues(stage: Scene) -> Round:
    """Delete the couriers' queues under load, and the intake's while it is empty: all are consumed again by themselves.

    What stands in an intake queue exists nowhere else yet, and would be gone with it.
    """
    async with stage.load(per_second=_PER_SECOND) as numbers:
        await stage.until_accepted(len(CHANNELS) * _PER_SECOND, since=monotonic())
        await _delete(stage, _JOBS)
        began = monotonic()
        await stage.until_accepted(len(CHANNELS) * _PER_SECOND, since=began, within=WORK_IS_BACK_SECONDS)
    await stage.quiet(within=WORK_IS_BACK_SECONDS)
    recovered = monotonic() - began
    await _delete(stage, [intake_queue(Lane.NORMAL)])
    later = await stage.publish(_PER_SECOND)
    await stage.quiet(within=WORK_IS_BACK_SECONDS)
    amiss = [
        f"{name} has no consumer" for name in [*_JOBS, intake_queue(Lane.NORMAL)] if not await _consumers(stage, name)
    ]
    books = await stage.tally([*numbers, *later])
    return Round("queues deleted", books, recovered, amiss=tuple(amiss))


async def _delete(stage: Scene, names: Sequence[str]) -> None:
    async with _queues(stage, names) as queues:
        for queue in queues:
            # A quorum queue knows neither condition (rabbitmq-server answers 540 NOT_IMPLEMENTED to them).
            await queue.delete(if_unused=False, if_empty=False)


async def _consumers(stage: Scene, name: str) -> int:
    async with _queues(stage, [name]) as (queue,):
        return int(queue.declaration_result.consumer_count or 0)


@asynccontextmanager
async def _queues(stage: Scene, names: Sequence[str]) -> AsyncIterator[list[AbstractQueue]]:
    async with await aio_pika.connect(stage.amqp_url.split(",")[0]) as connection:
        channel = await connection.channel()
        yield [await channel.get_queue(name, ensure=True) for name in names]

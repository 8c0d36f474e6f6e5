"""What operators do to queues by mistake: they purge them, and delete them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import aio_pika
from aio_pika.abc import AbstractQueue

from schemas.catalogue import Lane
from tests.faults.fakes import CHANNELS
from tests.faults.rounds import Round
from tests.faults.scene import Scene
from worker.broker.topology import deliver_queue, intake_queue

WORK_IS_BACK_SECONDS = 90
_PER_SECOND = 100
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

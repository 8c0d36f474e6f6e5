"""Publishes the events of the measured job: about 400 bytes each, CloudEvents structured, a random person."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic_ns
from uuid import UUID

import aio_pika
import orjson
from aio_pika.abc import AbstractExchange

from schemas.envelope import STRUCTURED
from schemas.jobs import MAX_JOB_DELIVERIES, Job
from tests.bench.people import person_id

EVENT_TYPE = "bench.paid"
_UNCONFIRMED = 200
_CONFIRM_SECONDS = 30
_STEADY_GRACE_SECONDS = 30


def body(number: int, people: int, event_type: str = EVENT_TYPE) -> bytes:
    """Write one event. The same number always gives the same event."""
    person = person_id(random.Random(number).randrange(people))  # noqa: S311 - repeatable on purpose
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": f"{number:07}",
            "source": "bench/payments",
            "type": event_type,
            "time": "2026-11-20T08:15:30Z",
            "data": {
                "user_id": person,
                "number": f"{number:07}",
                "amount": f"{150_000 + number}.00",
                "currency": "IDR",
                "plan": "Creator, one month",
                "paid_at": "2026-11-20T08:15:28Z",
                "invoice_url": f"https://bench.test/invoices/{number:07}",
                "note": "Thank you for the quick help last week, see you on the next stream",
            },
        }
    )


@dataclass(slots=True)
class Publisher:
    """A connection that publishes with confirms; an event that no queue takes raises."""

    people: int
    _exchange: AbstractExchange
    _jobs: AbstractExchange

    @staticmethod
    @asynccontextmanager
    async def connect(amqp_url: str, *, people: int) -> AsyncIterator[Publisher]:
        """Connect until the block ends. The exchange must be there."""
        connection = await aio_pika.connect(amqp_url)
        async with connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            events = await channel.get_exchange("kabar.events", ensure=True)
            yield Publisher(people, events, await channel.get_exchange("kabar.deliver", ensure=True))

    async def publish_all(self, numbers: range) -> None:
        """Publish as fast as confirms come; returns when the broker has all of them."""
        for start in range(numbers.start, numbers.stop, _UNCONFIRMED):
            chunk = range(start, min(start + _UNCONFIRMED, numbers.stop))
            await asyncio.gather(*(self._publish(self._message(number)) for number in chunk))

    async def publish_jobs(self, routing_key: str, ids: Sequence[UUID]) -> None:
        """Tell the couriers of one channel and lane that these are ready, as the worker would."""
        jobs = [ids[start : start + MAX_JOB_DELIVERIES] for start in range(0, len(ids), MAX_JOB_DELIVERIES)]
        for start in range(0, len(jobs), _UNCONFIRMED):
            bodies = [Job(ids=list(part)).model_dump_json().encode() for part in jobs[start : start + _UNCONFIRMED]]
            messages = [aio_pika.Message(one, delivery_mode=aio_pika.DeliveryMode.PERSISTENT) for one in bodies]
            await asyncio.gather(*(self._jobs.publish(one, routing_key, timeout=_CONFIRM_SECONDS) for one in messages))

    async def publish_steadily(
        self, numbers: range, *, per_second: int, event_type: str = EVENT_TYPE
    ) -> dict[int, int]:
        """Publish at an even pace, however slow the confirms are. Answers when each was published, in nanoseconds."""
        loop = asyncio.get_running_loop()
        published_at_ns: dict[int, int] = {}

        async def publish(number: int, message: aio_pika.Message) -> None:
            published_at_ns[number] = monotonic_ns()
            await self._publish(message, event_type)

        async with asyncio.timeout(len(numbers) / per_second + _STEADY_GRACE_SECONDS), asyncio.TaskGroup() as group:
            begin = loop.time()
            for index, number in enumerate(numbers):
                message = self._message(number, event_type)
                await asyncio.sleep(max(0.0, begin + index / per_second - loop.time()))
                group.create_task(publish(number, message))
        return published_at_ns

    def _message(self, number: int, event_type: str = EVENT_TYPE) -> aio_pika.Message:
        return aio_pika.Message(
            body(number, self.people, event_type),
            content_type=STRUCTURED,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )

    async def _publish(self, message: aio_pika.Message, event_type: str = EVENT_TYPE) -> None:
        await self._exchange.publish(message, event_type, mandatory=True, timeout=_CONFIRM_SECONDS)

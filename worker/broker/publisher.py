"""Publishing with confirms: jobs for couriers, dead letters, status. One channel, at most 256 confirms in flight."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import UUID

import aiormq
from aiormq.abc import AbstractConnection
from pamqp import commands

from schemas.catalogue import Lane
from schemas.jobs import MAX_JOB_DELIVERIES, Job, Mark
from schemas.patience import Patience
from worker import metrics
from worker.broker.connection import BROKER_ERRORS, Link, is_taking, told_apart
from worker.broker.consumer import ORIGINAL_KEY
from worker.broker.topology import DELIVER, STATUS
from worker.core.message import NO_MESSAGE_ID, UNREADABLE_TIME, RawMessage
from worker.errors import BrokerAway

_TIMEOUT_SECONDS = 5.0
_IN_FLIGHT = 256
_LARGEST_FLOAT = 3.4e38


class Publisher:
    """The publishing half of a process. Every publish is confirmed, or raises BrokerAway and may be repeated."""

    def __init__(self, urls: Sequence[str], on_connection: Callable[[AbstractConnection], Awaitable[None]]) -> None:
        self._on_connection = on_connection
        self._channel: aiormq.Channel | None = None
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._patience = Patience()
        self.link = Link(urls, "publish", self._set_up)

    async def publish_jobs(self, ready: Iterable[tuple[UUID, str, Lane]]) -> None:
        """Tell the couriers what is ready: one message per channel, lane and 64 deliveries."""
        by_queue: dict[str, list[UUID]] = defaultdict(list)
        for delivery, channel, lane in ready:
            by_queue[f"{channel}.{lane}"].append(delivery)
        async with asyncio.TaskGroup() as group:
            for routing_key, ids in by_queue.items():
                for start in range(0, len(ids), MAX_JOB_DELIVERIES):
                    job = Job(ids=ids[start : start + MAX_JOB_DELIVERIES])
                    group.create_task(self._publish(DELIVER, routing_key, job.model_dump_json().encode()))

    async def publish_mark(self, mark: Mark) -> None:
        """Put a mark behind all that its queue holds."""
        await self._publish(DELIVER, f"{mark.channel}.{mark.lane}", mark.model_dump_json().encode())

    async def publish_status(self, routing_key: str, body: bytes, content_type: str) -> None:
        """Announce what became of deliveries. Nobody has to listen."""
        await self._publish(STATUS, routing_key, body, content_type=content_type, mandatory=False)

    async def publish_raw(
        self, message: RawMessage, *, exchange: str, routing_key: str, headers: Mapping[str, object]
    ) -> None:
        """Publish a message as it came, with these headers instead of its own."""
        marked = headers if message.message_id else {**headers, NO_MESSAGE_ID: True}
        properties = commands.Basic.Properties(
            content_type=message.content_type or None,
            headers={name: _encodable(value) for name, value in marked.items()},
            delivery_mode=2,
            message_id=message.message_id,
            timestamp=None if message.timestamp is UNREADABLE_TIME else message.timestamp,
            app_id=message.app_id,
        )
        await self._send(exchange, routing_key, message.body, properties, mandatory=True)

    async def move(
        self,
        message: RawMessage,
        *,
        exchange: str,
        routing_key: str,
        headers: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Publish a message as it came, with these headers beside its own; the key it came by travels in one."""
        kept = {name: value for name, value in message.headers.items() if name != "x-delivery-count"}
        carried = {**kept, ORIGINAL_KEY: message.routing_key, **headers}
        await self.publish_raw(message, exchange=exchange, routing_key=routing_key, headers=carried)

    async def _publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        content_type: str = "application/json",
        mandatory: bool = True,
    ) -> None:
        properties = commands.Basic.Properties(content_type=content_type, delivery_mode=2)
        await self._send(exchange, routing_key, body, properties, mandatory=mandatory)

    async def _send(
        self, exchange: str, routing_key: str, body: bytes, properties: commands.Basic.Properties, *, mandatory: bool
    ) -> None:
        async with self._slots:
            channel = self._channel
            if channel is None or channel.is_closed:
                raise BrokerAway("the broker is away; the publish was not tried")
            start = time.perf_counter()
            try:
                with told_apart():
                    await channel.basic_publish(
                        body,
                        exchange=exchange,
                        routing_key=routing_key,
                        properties=properties,
                        mandatory=mandatory,
                        timeout=self._patience.seconds,
                        wait=False,
                    )
            except BROKER_ERRORS as error:
                if isinstance(error, TimeoutError | aiormq.exceptions.DeliveryError):
                    await self._doubt(channel)
                metrics.publish_failures.inc()
                raise BrokerAway(f"a publish to {exchange!r} was not confirmed ({type(error).__name__})") from error
            self._patience.reward()
            metrics.publish_seconds.observe(time.perf_counter() - start)

    async def _doubt(self, channel: aiormq.Channel) -> None:
        """Give up a connection that confirms nothing, unless the broker has said that it takes nothing for a while."""
        is_over = self._patience.is_over(time.monotonic())
        if is_over and await is_taking(channel.connection) and channel is self._channel:
            self.link.give_up()

    async def _set_up(self, connection: AbstractConnection) -> None:
        await self._on_connection(connection)
        channel = await connection.channel(publisher_confirms=True)
        # A publish to an exchange that somebody deleted closes the channel: declare everything anew.
        channel.closing.add_done_callback(self.link.give_up)
        if not isinstance(channel, aiormq.Channel):
            raise TypeError(f"aiormq gave a {type(channel).__name__}; this needs its own Channel")
        self._channel = channel
        self._patience.begin(time.monotonic())

    async def depth(self, queue: str) -> tuple[int, int]:
        """Answer how many messages are ready in a queue, and how many consumers it has. Raises BrokerAway."""
        channel = self._channel
        if channel is None or channel.is_closed:
            raise BrokerAway("the broker is away")
        try:
            with told_apart():
                declared = await channel.queue_declare(queue, passive=True, timeout=_TIMEOUT_SECONDS)
        except BROKER_ERRORS as error:
            raise BrokerAway(f"the depth of {queue} cannot be read ({type(error).__name__})") from error
        return declared.message_count or 0, declared.consumer_count or 0


def _encodable(value: Any) -> Any:
    """Give a header's value as pamqp can write it: bytes as a byte array, and no number beyond single precision."""
    match value:
        case bytes():
            return bytearray(value)
        case float() if abs(value) > _LARGEST_FLOAT:
            return str(value)
        case dict():
            return {name: _encodable(part) for name, part in value.items()}
        case list():
            return [_encodable(part) for part in value]
        case _:
            return value


async def until_published(publish: Callable[[], Awaitable[None]]) -> None:
    """Repeat a publish until it is confirmed, with a pause between. For work that must not be dropped."""
    while True:
        try:
            return await publish()
        except* BrokerAway:
            await asyncio.sleep(0.2)

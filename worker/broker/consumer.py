"""Consuming: messages of several queues, each with its own channel and prefetch, handed to an inbox.

Nothing is settled here but what the roles ask for. A message that comes from a connection that has been lost cannot
be settled any more; the broker gives it out again, and the ledger knows what was done with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Never

from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage

from worker.broker.connection import BROKER_ERRORS, Link, told_apart
from worker.core.message import NO_MESSAGE_ID, RawMessage

_CANCEL_SECONDS = 3.0
_LOOK_SECONDS = 0.5
ORIGINAL_KEY = "x-kabar-routing-key"
"""Carries the routing key of a message that was moved to another queue."""


@dataclass(slots=True)
class Received:
    """A message that is ours until it is settled on the channel it came by."""

    message: RawMessage
    tag: int
    channel: AbstractChannel
    is_rejected: bool = False
    is_buried: bool = False
    """It is on its way to the dead letters, and must not be taken there again."""
    """Settled already: to acknowledge it too would cost the channel."""


class Inbox:
    """What has arrived from one queue and waits to be worked on. Bounded by the queue's prefetch."""

    def __init__(self, queue: str, prefetch: int) -> None:
        self.queue = queue
        self.prefetch = prefetch
        self._waiting: deque[Received] = deque()
        self._arrived = asyncio.Event()
        self._closed = False

    async def take(self, limit: int) -> list[Received]:
        """Wait for at least one message, and answer all there are, up to the limit. Empty: the inbox is closed."""
        while not self._waiting and not self._closed:
            self._arrived.clear()
            await self._arrived.wait()
        if self._closed:
            return []
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def close(self) -> None:
        """Hand out nothing more: what waits here goes back to the broker with the connection."""
        self._closed = True
        self._arrived.set()

    def forget(self) -> None:
        """Drop what waits: its channel is gone, and the broker will give it out again."""
        self._waiting.clear()

    async def on_message(self, delivered: DeliveredMessage) -> None:
        """Take in one message. Called by aiormq in the order of the queue."""
        self._waiting.append(_received(delivered))
        self._arrived.set()


class Consumer:
    """The consuming half of a process. `on_connection` declares what must be there before anything is consumed."""

    def __init__(
        self,
        urls: Sequence[str],
        inboxes: Sequence[Inbox],
        on_connection: Callable[[AbstractConnection], Awaitable[None]],
    ) -> None:
        self._inboxes = inboxes
        self._on_connection = on_connection
        self._consumers: list[tuple[AbstractChannel, str]] = []
        self.link = Link(urls, "consume", self._set_up)

    async def rest_while(self, is_idle: Callable[[], bool]) -> Never:
        """Give back what was taken, and consume nothing, as long as nothing can be done with it.

        RabbitMQ takes back what is held for half an hour, and at the 21st time gives it up: so it is given back once.
        """
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if is_idle():
                self.link.pause()
            else:
                self.link.resume()

    async def stop(self) -> None:
        """Consume nothing more. What is being worked on can still be settled."""
        for inbox in self._inboxes:
            inbox.close()
        async with asyncio.TaskGroup() as group:
            for channel, tag in self._consumers:
                group.create_task(_cancel(channel, tag))

    async def _set_up(self, connection: AbstractConnection) -> None:
        await self._on_connection(connection)
        self._consumers = []
        for inbox in self._inboxes:
            inbox.forget()
            channel = await connection.channel()
            # The queue was deleted, or its leader moved: declare and consume everything anew.
            channel.on_consumer_cancel_callbacks.add(self.link.give_up)
            await channel.basic_qos(prefetch_count=inbox.prefetch)
            started = await channel.basic_consume(inbox.queue, inbox.on_message)
            self._consumers.append((channel, started.consumer_tag or ""))
            channel.closing.add_done_callback(self.link.give_up)


async def _cancel(channel: AbstractChannel, tag: str) -> None:
    try:
        async with asyncio.timeout(_CANCEL_SECONDS):
            with told_apart():
                await channel.basic_cancel(tag)
    except BROKER_ERRORS:
        return


async def ack(received: Received, *, multiple: bool = False) -> None:
    """Acknowledge a message; with `multiple`, all of its channel up to it. Silent where the channel is gone."""
    try:
        with told_apart():
            await received.channel.basic_ack(received.tag, multiple=multiple, wait=False)
    except BROKER_ERRORS:
        return


async def ack_all(batch: Sequence[Received]) -> None:
    """Acknowledge a batch and all of its channel before it, but for what was rejected."""
    last = next((received for received in reversed(batch) if not received.is_rejected), None)
    if last is not None:
        await ack(last, multiple=True)


async def reject(received: Received) -> None:
    """Send a message to its queue's dead-letter exchange, as it is. Silent where the channel is gone."""
    received.is_rejected = True
    try:
        with told_apart():
            await received.channel.basic_reject(received.tag, requeue=False, wait=False)
    except BROKER_ERRORS:
        return


def _received(delivered: DeliveredMessage) -> Received:
    properties = delivered.header.properties
    headers = properties.headers or {}
    count = headers.get("x-delivery-count", 0)
    original_key = headers.get(ORIGINAL_KEY)
    return Received(
        RawMessage(
            body=delivered.body,
            routing_key=original_key if isinstance(original_key, str) else delivered.routing_key or "",
            content_type=properties.content_type or "",
            headers=headers,
            message_id=None if NO_MESSAGE_ID in headers else properties.message_id,
            timestamp=properties.timestamp,
            app_id=properties.app_id,
            deliveries_before=count if isinstance(count, int) else 0,
        ),
        delivered.delivery_tag or 0,
        delivered.channel,
    )

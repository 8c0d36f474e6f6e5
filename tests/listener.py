"""A subscriber as any service may be one: it sees every event that reaches `kabar.events`, in the order of arrival."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

PATIENCE_SECONDS = 20


class Listener:
    """What arrived and was not asked for yet."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    async def hear(self, message: AbstractIncomingMessage) -> None:
        """Keep one message; the consumer's callback."""
        await self._arrived.put(message)

    async def next(self) -> AbstractIncomingMessage:
        """Answer the next message; raises `TimeoutError` if none comes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._arrived.get()

    async def ids_until(self, last_id: str) -> list[str | None]:
        """Answer the ids of all messages before the one named, which is taken too."""
        ids: list[str | None] = []
        while (message := await self.next()).message_id != last_id:
            ids.append(message.message_id)
        return ids


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Listener]:
    """Bind a queue of one's own to everything on `kabar.events` for as long as the block lasts."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("kabar.events", aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "#")
        listener = Listener()
        await queue.consume(listener.hear, no_ack=True)
        yield listener

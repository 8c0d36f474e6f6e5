"""A whole Kabar for a story: the worker in this process, real PostgreSQL and RabbitMQ, providers on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aio_pika
import asyncpg

from schemas.catalogue import EventData
from schemas.events.directory import PersonChanged
from schemas.producer import Producer
from worker.bootstrap import ROLES, Process, Role
from worker.dev.simulator import Simulator
from worker.settings import Settings

PATIENCE_SECONDS = 20.0
TOKEN = "123456:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"


@dataclass(frozen=True, slots=True)
class World:
    """What a story acts on and looks at."""

    settings: Settings
    process: Process
    simulator: Simulator
    producer: Producer
    database: asyncpg.Connection[asyncpg.Record]
    broker: aio_pika.abc.AbstractConnection

    async def tell(self, *events: EventData, **attributes: Any) -> list[str]:
        """Publish events; answers their ids."""
        return [await self.producer.publish(event, **attributes) for event in events]

    async def know(self, person_id: str, **about: Any) -> None:
        """Make a person known, with an address on every channel unless told otherwise, and wait until they are."""
        about.setdefault(
            "addresses",
            {
                "email": [f"{person_id}@example.com"],
                "telegram": [str(1000 + sum(person_id.encode()))],
                "slack": [self.simulator.slack_webhook_url(person_id)],
            },
        )
        await self.tell(PersonChanged(person_id=person_id, **about))
        await self.until("SELECT 1 FROM people WHERE id = $1", person_id)

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the ledger."""
        return await self.database.fetch(query, *arguments)

    async def until(self, query: str, *arguments: object, count: int = 1) -> list[asyncpg.Record]:
        """Ask the ledger until it answers at least `count` rows."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(rows := await self.rows(query, *arguments)) < count:
                await asyncio.sleep(0.02)
        return rows

    async def states(self, event_id: str) -> dict[tuple[str, str], tuple[str, str]]:
        """Wait until nothing of an event is under way; answers the state and reason of each (person, channel)."""
        await self.until(
            "SELECT 1 FROM events e WHERE e.id = $1 AND NOT EXISTS (SELECT 1 FROM deliveries d"
            " WHERE d.event_key = e.key AND (d.state IN ('queued', 'leased') OR d.reason = 'paced'))",
            event_id,
        )
        rows = await self.rows(
            "SELECT d.* FROM deliveries d JOIN events e ON e.key = d.event_key WHERE e.id = $1", event_id
        )
        return {(row["person_id"], row["channel"]): (row["state"], row["reason"]) for row in rows}

    async def publish_raw(self, body: bytes, routing_key: str, **properties: Any) -> None:
        """Publish bytes as any program might."""
        channel = await self.broker.channel()
        exchange = await channel.get_exchange("kabar.events")
        await exchange.publish(aio_pika.Message(body, **properties), routing_key)
        await channel.close()

    async def dead_letter(self, event_id: str) -> asyncpg.Record:
        """Wait for the dead letter of an event."""
        (row,) = await self.until("SELECT * FROM dead_letters WHERE event_id = $1", event_id)
        return row


def settings_for(simulator: Simulator, database_url: str, amqp_url: str, **more: object) -> Settings:
    """Settings of a deployment with every channel, whose providers are the simulator."""
    given: dict[str, object] = {
        "amqp_url": amqp_url,
        "database_url": database_url,
        "channels": ("inbox", "email", "telegram", "slack"),
        "smtp_url": simulator.smtp_url,
        "email_from": "Kabar <kabar@example.com>",
        "telegram_token": TOKEN,
        "telegram_api_url": simulator.telegram_api_url,
        "slack_webhook_origins": (simulator.url.rstrip("/"),),
        "http_port": 0,
    }
    return Settings(**(given | more))  # type: ignore[arg-type]  # pydantic checks them


@asynccontextmanager
async def a_simulator() -> AsyncIterator[Simulator]:
    """Providers on the wire."""
    simulator = Simulator()
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.aclose()


@asynccontextmanager
async def running(process: Process) -> AsyncIterator[Process]:
    """A process at work; drained at the end."""
    stop = asyncio.Event()
    task = asyncio.create_task(process.run(stop))
    try:
        ready = asyncio.create_task(process.ready.wait())
        await asyncio.wait([ready, task], timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield process
    finally:
        stop.set()
        await task


@asynccontextmanager
async def a_world(
    database_url: str,
    amqp_url: str,
    *,
    roles: Sequence[Role] = ROLES,
    worker_database: str = "",
    worker_broker: str = "",
    **more: object,
) -> AsyncIterator[World]:
    """A whole Kabar, and the means to act on it. The worker may see its services by other URLs than the story does."""
    async with a_simulator() as simulator:
        settings = settings_for(simulator, worker_database or database_url, worker_broker or amqp_url, **more)
        database = await asyncpg.connect(database_url)
        broker = await aio_pika.connect(amqp_url)
        try:
            process = Process(settings, roles)
            async with running(process), Producer(amqp_url, source="shop") as producer:
                yield World(settings, process, simulator, producer, database, broker)
        finally:
            await broker.close()
            await database.close()

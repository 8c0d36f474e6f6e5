"""The services around the workers: PostgreSQL that waits for the disk, a real RabbitMQ, the two sinks, the people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import aiormq
import asyncpg

from schemas.catalogue import Catalogue
from tests.bench import people
from tests.bench.fleet import Fleet
from tests.bench.producer import Publisher
from tests.bench.sinks import Sinks
from worker.broker.topology import Topology, declare, topology
from worker.dev.postgres import Postgres
from worker.dev.rabbitmq import RabbitMQ

PEOPLE = 10_000
_CHANNELS = ("inbox", "email", "slack")
_EVENT_MODULE = "tests.bench.events"
_TEXTS = Path(__file__).parent / "texts"
_BROKER_CORES = 2


@dataclass(frozen=True, slots=True)
class World:
    """Everything that runs, and the few questions a measurement asks of it."""

    postgres: Postgres
    rabbitmq: RabbitMQ
    sinks: Sinks
    fleet: Fleet
    publisher: Publisher
    ledger: asyncpg.Connection[asyncpg.Record]
    _topology: Topology

    @staticmethod
    @asynccontextmanager
    async def start(
        folder: Path, database: Mapping[str, str] = MappingProxyType({}), **settings: str
    ) -> AsyncIterator[World]:
        """Start everything but the workers, on new data under `folder`, until the block ends.

        `settings` are variables of the workers, over the usual ones, and `database` settings of PostgreSQL.
        """
        async with (
            Postgres.start(folder / "postgres", durable=True, settings=database) as postgres,
            RabbitMQ.start(folder / "rabbitmq", schedulers=_BROKER_CORES) as rabbitmq,
            Sinks.start(folder) as sinks,
        ):
            fleet = Fleet(_environment(postgres, rabbitmq, sinks) | settings, folder)
            await fleet.command("migrate")
            drawn = topology(Catalogue.of_modules([_EVENT_MODULE]), _CHANNELS)
            await _declare(rabbitmq.url, drawn)
            await people.seed(postgres.url, PEOPLE, webhook_origin=f"http://127.0.0.1:{sinks.http_port}")
            ledger = await asyncpg.connect(postgres.url)
            try:
                async with Publisher.connect(rabbitmq.url, people=PEOPLE) as publisher:
                    yield World(postgres, rabbitmq, sinks, fleet, publisher, ledger, drawn)
            finally:
                await ledger.close()

    async def forget(self) -> None:
        """Empty the ledger of events and the sinks' books, as on the first day. No worker may run."""
        await self.ledger.execute("TRUNCATE events, notifications, deliveries, attempts, dead_letters")
        await self.sinks.close_books()

    async def states(self) -> Mapping[str, int]:
        """Answer how many deliveries are in each state."""
        rows = await self.ledger.fetch("SELECT state, count(*) FROM deliveries GROUP BY state ORDER BY state")
        return {row["state"]: row["count"] for row in rows}

    async def queued(self) -> Mapping[str, int]:
        """Answer how many messages stand ready in each queue that is not empty. Those handed out do not count."""
        connection = await aiormq.connect(self.rabbitmq.url)
        try:
            channel = await connection.channel()
            names = [queue.name for queue in self._topology.queues]
            answers = [await channel.queue_declare(name, passive=True) for name in names]
            return {
                name: answer.message_count or 0
                for name, answer in zip(names, answers, strict=True)
                if answer.message_count
            }
        finally:
            await connection.close()

    async def all_empty(self) -> Mapping[str, int]:
        """Answer what `queued` does, once no queue but is empty or 10 s have passed."""
        left = await self.queued()
        for _ in range(100 if left else 0):
            await asyncio.sleep(0.1)
            if not (left := await self.queued()):
                break
        return left


async def _declare(url: str, drawn: Topology) -> None:
    connection = await aiormq.connect(url)
    try:
        await declare(await connection.channel(), drawn)
    finally:
        await connection.close()


def _environment(postgres: Postgres, rabbitmq: RabbitMQ, sinks: Sinks) -> dict[str, str]:
    return {
        "KABAR_AMQP_URL": rabbitmq.url,
        "KABAR_DATABASE_URL": postgres.url,
        "KABAR_CHANNELS": ",".join(_CHANNELS),
        "KABAR_SMTP_URL": f"smtp://127.0.0.1:{sinks.smtp_port}",
        "KABAR_EMAIL_FROM": "Kabar Bench <kabar@bench.test>",
        "KABAR_SLACK_WEBHOOK_ORIGINS": f"http://127.0.0.1:{sinks.http_port}",
        "KABAR_ON_UNSURE": "email=resend,slack=resend",
        # A person may get two posts within a second here, and what is measured is not the waiting.
        "KABAR_SLACK_PER_WEBHOOK_PER_SECOND": "0",
        "KABAR_EVENT_MODULES": _EVENT_MODULE,
        "KABAR_TEMPLATE_DIRS": str(_TEXTS),
        "KABAR_HTTP_PORT": "0",
        "KABAR_LOG_LEVEL": "info",
    }

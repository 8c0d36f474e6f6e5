"""Nothing that must stay private is told: canaries are planted everywhere, everything goes wrong, all is searched.

Planted: the passwords and tokens of every provider and service, the addresses of a person, the texts of events.
Searched: all that real processes print at debug level, their pages, every column of the ledger that is not the place
of such a thing, what is announced, and the traces.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import aiohttp
import asyncpg

from schemas.producer import Producer
from tests.acceptance.canaries import (
    MAIL_PASSWORD,
    WHISPERED,
    Ears,
    an_event,
    canaries,
    send_nonsense,
    settings_for,
    the_person,
)
from tests.acceptance.gossip import Gossip, Mode, gossiping
from tests.collector import collecting
from tests.processes import WorkerProcess, worker
from tests.proxy import Proxy, proxy
from worker.settings import Settings

PATIENCE_SECONDS = 30
HOMES = {
    "addresses.address",
    "deliveries.address",
    "people.name",
    "events.data",
    "notifications.title",
    "notifications.body",
    "dead_letters.body",
    "dead_letters.properties",
}
"""Where such things belong. Every other column of the ledger is searched, those that are yet to come too."""


async def pages(worker: WorkerProcess) -> list[str]:
    """What the process shows of itself to whoever asks."""
    (ready,) = (line for line in worker.lines if line["event"] == "process.ready")
    async with aiohttp.ClientSession(f"http://127.0.0.1:{ready['http_port']}") as session:
        return [await (await session.get(path)).text() for path in ("/metrics", "/readyz", "/healthz")]


@asynccontextmanager
async def announced(amqp_url: str, ears: Ears) -> AsyncIterator[None]:
    """Hear all of `kabar.status`."""

    async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        ears.hear(f"kabar.status {message.routing_key}", message.body.decode())

    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("kabar.status", aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "#")
        await queue.consume(hear, no_ack=True)
        yield


async def until(database: asyncpg.Connection[asyncpg.Record], query: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await database.fetchval(query):
            await asyncio.sleep(0.05)


async def fail_in(mode: Mode, gossip: Gossip, producer: Producer, worker: WorkerProcess, ears: Ears) -> None:
    """Let every provider fail in one way over a new event."""
    gossip.mode = mode
    await producer.publish(an_event())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not all(gossip.heard[mode, provider] for provider in ("email", "telegram", "slack")):
            await asyncio.sleep(0.02)
    ears.hear("the pages", await pages(worker))


async def search_ledger(database: asyncpg.Connection[asyncpg.Record], ears: Ears) -> int:
    """Read every column that is no home of private things; answers how many there are."""
    columns = await database.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    )
    searched = [(table, column) for table, column in columns if f"{table}.{column}" not in HOMES]
    for table, column in searched:
        values = await database.fetch(f'SELECT DISTINCT "{column}"::text FROM "{table}"')  # noqa: S608 - its own names
        ears.hear(f"{table}.{column}", [value[0] for value in values])
    return len(searched)


async def wrong_login(settings: Settings, name: str, ears: Ears) -> None:
    """A process whose password is refused says so and ends."""
    url = urlsplit(str(getattr(settings, name).get_secret_value()))
    wrong = urlunsplit(url._replace(netloc=f"{url.username}:{MAIL_PASSWORD}@{url.hostname}:{url.port}"))
    given = {field: getattr(settings, field) for field in settings.model_fields_set} | {name: wrong}
    async with worker(Settings(**given)) as refused:
        await asyncio.wait_for(refused.process.wait(), PATIENCE_SECONDS)
    assert "refuses the user or the password" in json.dumps(refused.lines)
    ears.hear(f"a process with a wrong {name}", refused.lines)


async def outage(database: Proxy, broker: Proxy, worker: WorkerProcess, ears: Ears) -> None:
    """Both services go away and come back."""
    for service in (database, broker):
        await service.cut()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "not ready" not in (shown := await pages(worker))[1]:
                await asyncio.sleep(0.05)
        ears.hear("the pages in an outage", shown)
        await service.open()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "not ready" in (await pages(worker))[1]:
                await asyncio.sleep(0.05)


async def test_no_secret_address_or_text_is_told_whatever_goes_wrong(database_url: str, rabbitmq_url: str) -> None:
    """Who may read logs, metrics, traces and reasons learns nothing by which to reach or to be somebody."""
    ears = Ears(canaries(database_url, rabbitmq_url))
    ledger = await asyncpg.connect(database_url)
    async with (
        gossiping(WHISPERED) as gossip, collecting() as collector, proxy(database_url) as far_database,
        proxy(rabbitmq_url) as far_broker, announced(rabbitmq_url, ears),
        Producer(rabbitmq_url, source="shop") as producer,
    ):  # fmt: skip
        settings = settings_for(gossip, far_database.url, far_broker.url, traces_url=collector.url)
        for modes in (list(Mode)[:5], *([mode] for mode in list(Mode)[5:])):
            await ledger.execute("DELETE FROM accounts")
            async with worker(settings) as running:
                await producer.publish(the_person(gossip))
                await until(ledger, "SELECT count(*) = 4 FROM addresses WHERE suppressed_at IS NULL")
                for mode in modes:
                    await fail_in(mode, gossip, producer, running, ears)
                if len(modes) > 1:
                    await send_nonsense(rabbitmq_url)
                    await until(ledger, "SELECT count(*) >= 7 FROM dead_letters WHERE kind = 'event'")
                    await outage(far_database, far_broker, running, ears)
                    running.kill()
            ears.hear(f"a process among {modes}", running.lines)
        for name in ("database_url", "amqp_url"):
            await wrong_login(settings, name, ears)
        searched = await search_ledger(ledger, ears)
        for body in collector.bodies:
            ears.hear("a trace", body.decode("latin-1"))
    await ledger.close()

    leaks = list(ears.leaks())
    assert not leaks, "\n".join(leaks)
    heard = {who.split()[0] for who, _ in ears.said}
    assert searched > 50
    assert heard >= {"kabar.status", "attempts.detail", "deliveries.detail", "dead_letters.remedy"}
    assert collector.bodies

"""A scene: a whole Kabar of real processes, real services and scripted providers, in which a fault is played.

    async with scene(tmp_path, workers=2) as stage:
        async with stage.load(per_second=100) as numbers:
            await stage.kill(stage.workers[0])
        await stage.quiet(within=120)
        assert (await stage.tally(numbers)).broken() == []

RabbitMQ and PostgreSQL (which waits for the disk) are the scene's own unless URLs are given. `through` names the wires
on which a proxy stands between the workers and a service: `broker`, `database`, `smtp`, `http`; see `Scene.wires`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import asyncpg

from tests.faults import people
from tests.faults.books import Row, Tally, tally
from tests.faults.fakes import CHANNELS, Fakes
from tests.faults.producer import SOURCE, NumberedProducer, event_id
from tests.processes import NOTHING_MORE, WorkerProcess, worker
from tests.proxy import Proxy, proxy
from worker.dev.postgres import Postgres
from worker.dev.rabbitmq import RabbitMQ
from worker.dev.rabbitmq_cluster import Cluster
from worker.ledger.migrate import migrate
from worker.settings import Settings

TOKEN = "123456:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
PEOPLE = 2000
_TEXTS = Path(__file__).parent / "texts"
_LOOK_SECONDS = 0.1
_STILL_SECONDS = 2.0
_DATABASE_AWAY = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.OperatorInterventionError)

_ROWS = """
SELECT e.id::int AS number, d.channel, d.state, d.reason, d.attempt, d.resends,
       (SELECT count(*) FROM attempts a WHERE a.delivery_id = d.id AND a.reason = 'lease_ran_out') AS ran_out
FROM deliveries d JOIN events e ON e.key = d.event_key
WHERE e.source = $1 AND e.type = 'scene.marked' AND e.id BETWEEN $2 AND $3
"""
_UNDER_WAY = """
SELECT (SELECT count(*) FROM events WHERE source = $1 AND type = 'scene.marked') AS events,
       count(*) AS unfinished, count(*) FILTER (WHERE state = 'leased') AS leased
FROM deliveries WHERE state IN ('waiting', 'queued', 'leased')
"""


@dataclass(slots=True)
class Scene:
    """What runs, what can be done to it, and what it can be asked."""

    settings: Settings
    amqp_url: str
    database_url: str
    fakes: Fakes
    producer: NumberedProducer
    wires: Mapping[str, Proxy]
    rabbitmq: RabbitMQ | None
    postgres: Postgres | None
    cluster: Cluster | None = None
    workers: list[WorkerProcess] = field(default_factory=list)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _ledger: asyncpg.Connection[asyncpg.Record] | None = None

    async def start(
        self,
        count: int,
        *roles: str,
        may_end: bool = False,
        environment: Mapping[str, str] = NOTHING_MORE,
        **settings: object,
    ) -> list[WorkerProcess]:
        """Start `count` more workers, with some settings changed; returns when each is ready, or ended if it may."""
        given = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
        changed = Settings(**(given | settings))
        starting = [
            self._stack.enter_async_context(worker(changed, *roles, environment=environment)) for _ in range(count)
        ]
        started = list(await asyncio.gather(*starting))
        for one in started:
            assert may_end or one.process.returncode is None, f"a worker ended at its start: {one.lines[-3:]}"
        self.workers += started
        return started

    async def end(self, one: WorkerProcess) -> int:
        """Let a worker drain, as an orchestrator would, and answer its exit code."""
        self.workers.remove(one)
        one.terminate()
        return await one.process.wait()

    async def kill(self, one: WorkerProcess) -> None:
        """Kill a worker with signal 9, and see it gone."""
        self.workers.remove(one)
        one.kill()
        await one.process.wait()

    async def publish(self, count: int) -> range:
        """Publish `count` events as fast as confirms come; returns when all are confirmed."""
        numbers = self.producer.take(count)
        await self.producer.publish(numbers)
        return numbers

    @asynccontextmanager
    async def load(self, *, per_second: float) -> AsyncIterator[list[int]]:
        """Publish at an even pace, however slow the confirms are, until the block ends; then all are confirmed.

        The list names what was published, and grows meanwhile.
        """
        numbers: list[int] = []
        stop = asyncio.Event()
        publishing = asyncio.create_task(self._publish_until(stop, numbers, per_second))
        try:
            yield numbers
        finally:
            stop.set()
            await publishing

    async def _publish_until(self, stop: asyncio.Event, numbers: list[int], per_second: float) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                (number,) = self.producer.take(1)
                numbers.append(number)
                group.create_task(self.producer.publish([number]))
                await asyncio.sleep(max(0.0, begin + len(numbers) / per_second - loop.time()))

    async def ask(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the ledger; waits while it is away. The question may be asked twice."""
        while True:
            try:
                if self._ledger is None or self._ledger.is_closed():
                    self._ledger = await asyncpg.connect(self.database_url, timeout=5, command_timeout=30)
                return await self._ledger.fetch(query, *arguments)
            except _DATABASE_AWAY:
                await asyncio.sleep(_LOOK_SECONDS)

    async def until(self, query: str, *arguments: object, count: int = 1, within: float = 60) -> list[asyncpg.Record]:
        """Ask the ledger until it answers at least `count` rows."""
        async with asyncio.timeout(within):
            while len(rows := await self.ask(query, *arguments)) < count:
                await asyncio.sleep(_LOOK_SECONDS)
        return rows

    async def until_accepted(self, count: int, *, since: float = 0.0, channel: str = "", within: float = 60) -> float:
        """Wait until the providers have accepted `count` messages after `since`; answers when the last of them was.

        Moments are seconds of CLOCK_MONOTONIC.
        """
        async with asyncio.timeout(within):
            while True:
                moments = [
                    one.at
                    for one in self.fakes.entries()
                    if one.accepted and one.at > since and channel in ("", one.channel)
                ]
                if len(moments) >= count:
                    return moments[count - 1]
                await asyncio.sleep(_LOOK_SECONDS / 2)

    async def quiet(self, *, within: float, hurry: bool = False) -> float:
        """Wait until every confirmed event is in the ledger and nothing is under way; answers the seconds it took.

        Gives up after `within` seconds: the tally then says what is silent. `hurry`: leases that are all that is left,
        and that nobody settles, run out now and not in a minute: those of killed workers.
        """
        began = moved = monotonic()
        before: tuple[int, ...] = ()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self._is_quiet(now := await self._under_way()):
                    if now != before:
                        before, moved = now, monotonic()
                    elif hurry and now[1] == now[2] > 0 and monotonic() - moved > _STILL_SECONDS:
                        await self.ask("UPDATE deliveries SET due_at = now() WHERE state = 'leased'")
                    await asyncio.sleep(_LOOK_SECONDS)
        return monotonic() - began

    async def hurry(self) -> None:
        """Let whatever waits for a later try be due now."""
        await self.ask("UPDATE deliveries SET due_at = now() WHERE state = 'waiting'")

    async def _under_way(self) -> tuple[int, ...]:
        (row,) = await self.ask(_UNDER_WAY, SOURCE)
        return tuple(row)

    def _is_quiet(self, under_way: tuple[int, ...]) -> bool:
        events, unfinished, _ = under_way
        return events >= len(self.producer.confirmed) and not unfinished

    async def tally(self, numbers: Iterable[int], channels: Sequence[str] = ()) -> Tally:
        """Compare the three books for these events, at least one, on some channels or on all of the scene's."""
        asked = sorted(numbers)
        rows = await self.ask(_ROWS, SOURCE, event_id(asked[0]), event_id(asked[-1]))
        confirmed = self.producer.confirmed.keys() & set(asked)
        return tally(confirmed, channels or self.settings.channels, self.fakes.entries(), (Row(*row) for row in rows))

    async def aclose(self) -> None:
        """Drain every worker, all at once."""
        for one in self.workers:
            one.terminate()
        await self._stack.aclose()
        if self._ledger is not None:
            self._ledger.terminate()


@asynccontextmanager
async def scene(
    folder: Path,
    *,
    workers: int = 2,
    amqp_url: str = "",
    database_url: str = "",
    through: Collection[str] = (),
    **settings: object,
) -> AsyncIterator[Scene]:
    """Play on services of the scene's own, or on those at these URLs; a database that is given has the schema.

    `amqp_url` may name the nodes of a cluster, separated by commas; then no proxy can stand before it.
    """
    async with AsyncExitStack() as stack:
        rabbitmq = postgres = None
        if not amqp_url:
            rabbitmq = await stack.enter_async_context(RabbitMQ.start(folder / "rabbitmq"))
            amqp_url = rabbitmq.url
        if not database_url:
            postgres = await stack.enter_async_context(Postgres.start(folder / "postgres"))
            database_url = postgres.url
            await migrate(database_url)
        fakes = await stack.enter_async_context(Fakes.start(folder))
        urls = {"broker": amqp_url, "database": database_url, "smtp": fakes.smtp_url, "http": fakes.http_url}
        wires = {name: await stack.enter_async_context(proxy(urls[name])) for name in through}
        seen = urls | {name: wire.url for name, wire in wires.items()}
        await people.settle_in(database_url, PEOPLE, seen["http"])
        producer = await stack.enter_async_context(
            NumberedProducer.connect(amqp_url.split(","), folder / "confirmed.ndjson", people=PEOPLE)
        )
        made = Scene(_settings(seen, settings), amqp_url, database_url, fakes, producer, wires, rabbitmq, postgres)
        stack.push_async_callback(made.aclose)
        await made.start(workers)
        yield made


def _settings(urls: Mapping[str, str], more: Mapping[str, object]) -> Settings:
    given: dict[str, object] = {
        "amqp_url": urls["broker"],
        "database_url": urls["database"],
        "channels": CHANNELS,
        "smtp_url": urls["smtp"],
        "email_from": "Kabar <kabar@scene.test>",
        "telegram_token": TOKEN,
        "telegram_api_url": urls["http"],
        "telegram_per_second": 0,
        "slack_webhook_origins": (urls["http"],),
        "event_modules": ("tests.faults.events", "tests.integration.deadly_events"),
        "template_dirs": (_TEXTS,),
        "http_port": 0,
    }
    return Settings(**(given | dict(more)))  # type: ignore[arg-type]  # pydantic checks them

"""The runs: as fast as it goes, at a steady pace, killed at half-way, with a mountain waiting.

Each begins with an empty ledger, publishes before workers start (the steady one while they run), and ends when every
delivery has come to its end. While a run is timed only the sinks are asked, so that looking costs the services nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic, process_time
from typing import NoReturn

from tests.bench import cost
from tests.bench.books import latencies_ms, percentile, slope_per_minute, tally
from tests.bench.cost import Clocks
from tests.bench.errors import RunFailed
from tests.bench.fleet import Ready, Worker
from tests.bench.results import Full, Killed, Latency, Memory, Spent, Steady, Waiting
from tests.bench.world import World
from worker.ledger.connection import statement

WORKERS = 2
CHANNELS = 2
_STEADY_PER_SECOND = 100
_LEASES_RUN_OUT_SECONDS = 240
_SILENCE_SECONDS = 30
_LOOK_SECONDS = 0.05
_LOOK_AT_LEDGER_SECONDS = 0.5
_WARM_SHARE = 0.25


async def full_then_steady(world: World, events: int, steady_seconds: int) -> tuple[Full, Steady, Memory]:
    """Work off what waits, then keep pace with what comes, with the same two workers."""
    waiting = range(events)
    coming = range(events, events + steady_seconds * _STEADY_PER_SECOND)
    await world.forget()
    await world.publisher.publish_all(waiting)
    async with world.fleet.running(WORKERS) as workers:
        full = await _full(world, workers, waiting)
        steady = await _steady(world, workers, coming)
        memory = Memory(
            rss=max(cost.peak_rss_mib(worker.pid) for worker in workers),
            pss=max(cost.pss_mib(worker.pid) for worker in workers),
        )
    await _expect_all_empty(world)
    return full, steady, memory


async def full(world: World, numbers: range, until: Callable[[World, int], Awaitable[None]]) -> Full:
    """Work off what waits, with workers that end afterwards."""
    await world.publisher.publish_all(numbers)
    async with world.fleet.running(WORKERS) as workers:
        return await _full(world, workers, numbers, until)


async def until_settled(world: World, expected: int) -> None:
    """Return once the sinks have accepted so many messages and no delivery is under way; cheap in any ledger."""
    await _until_accepted(world, expected, look_seconds=_LOOK_SECONDS)
    deadline = monotonic() + _SILENCE_SECONDS
    while left := sum(row["total"] for row in await world.ledger.fetch(statement("backlog"))):
        if monotonic() > deadline:
            await _fail(world, f"{left} deliveries or letters are not at an end")
        await asyncio.sleep(_LOOK_SECONDS)


async def _full(
    world: World,
    workers: Sequence[Worker],
    published: range,
    until: Callable[[World, int], Awaitable[None]] | None = None,
) -> Full:
    first = await _first_ready(workers)
    early = _clocks(world, workers)
    expected = len(published) * CHANNELS
    await (until or _until_sent)(world, expected)
    late = _clocks(world, workers)
    boot = sum([(await worker.ready()).cpu_seconds for worker in workers])
    per_1000 = 1000 / expected
    return Full(
        deliveries=expected,
        seconds=late.at - first.at,
        deliveries_per_s=expected / (late.at - first.at),
        spent=Spent(
            worker=(late.workers - boot) * per_1000,
            worker_with_boot=late.workers * per_1000,
            database=(late.database - early.database) * per_1000,
            broker=(late.broker - early.broker) * per_1000,
            sinks=(late.sinks - early.sinks) * per_1000,
        ),
        others_share=late.others_share_since(early),
        tally=tally(published, await world.sinks.close_books()),
    )


async def _first_ready(workers: Sequence[Worker]) -> Ready:
    waits = [asyncio.ensure_future(worker.ready()) for worker in workers]
    done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for each in waits:
        each.cancel()
    return min((each.result() for each in done), key=lambda ready: ready.at)


async def _steady(world: World, workers: Sequence[Worker], numbers: range) -> Steady:
    early = _clocks(world, workers)
    published_at_ns = await world.publisher.publish_steadily(numbers, per_second=_STEADY_PER_SECOND)
    await _until_sent(world, len(numbers) * CHANNELS, offset=numbers.start)
    late = _clocks(world, workers)
    books = await world.sinks.close_books()
    by_channel = {channel: latencies_ms(published_at_ns, accepted) for channel, accepted in books.items()}
    return Steady(
        all=_latency(sorted(ms for each in by_channel.values() for ms in each)),
        by_channel={channel: _latency(each) for channel, each in by_channel.items()},
        worker=(late.workers - early.workers) * 1000 / (len(numbers) * CHANNELS),
        others_share=late.others_share_since(early),
        tally=tally(numbers, books),
    )


def _latency(ordered: Sequence[float]) -> Latency:
    p50, p95, p99 = (percentile(ordered, share) for share in (0.5, 0.95, 0.99))
    return Latency(p50, p95, p99, ordered[-1])


def _clocks(world: World, workers: Sequence[Worker]) -> Clocks:
    return Clocks(
        at=monotonic(),
        machine=cost.busy_seconds(),
        workers=sum(cost.cpu_seconds(worker.pid) for worker in workers),
        database=cost.cpu_seconds(world.postgres.pid),
        broker=cost.cpu_seconds(world.rabbitmq.pid),
        sinks=cost.cpu_seconds(world.sinks.pid),
        ourselves=process_time(),
    )


async def killed(world: World, events: int) -> Killed:
    """Kill every worker with signal 9 at half-way, start others, and wait until every lease has run out."""
    published = range(events)
    await world.forget()
    await world.publisher.publish_all(published)
    async with world.fleet.running(WORKERS) as workers:
        await _until_accepted(world, events, look_seconds=0.01)  # half of two deliveries an event
        for worker in workers:
            worker.kill()
        await asyncio.gather(*(worker.process.wait() for worker in workers))
    in_flight = await _leased(world)
    begin = monotonic()
    async with world.fleet.running(WORKERS):
        await _until_at_end(world, events, seconds=_LEASES_RUN_OUT_SECONDS)
        seconds = monotonic() - begin
    await _expect_all_empty(world)
    return Killed(in_flight, tally(published, await world.sinks.close_books()), await world.states(), seconds)


async def waiting(world: World, events: int) -> Waiting:
    """Let a mountain wait, work it off, and watch the workers' memory every second."""
    published = range(events)
    await world.forget()
    await world.publisher.publish_all(published)
    async with world.fleet.running(WORKERS) as workers:
        await _first_ready(workers)
        samples: list[list[tuple[float, float]]] = [[] for _ in workers]
        watch = asyncio.create_task(_watch(workers, samples))
        try:
            await _until_sent(world, events * CHANNELS)
        finally:
            watch.cancel()
        rss = max(cost.peak_rss_mib(worker.pid) for worker in workers)
    await _expect_all_empty(world)
    return Waiting(
        events=events,
        rss=rss,
        growth=max(map(_growth, samples)),
        slope=max(slope_per_minute(each[_warm(each) :]) for each in samples),
        tally=tally(published, await world.sinks.close_books()),
    )


async def _watch(workers: Sequence[Worker], samples: Sequence[list[tuple[float, float]]]) -> None:
    while True:
        for worker, mine in zip(workers, samples, strict=True):
            mine.append((monotonic(), cost.rss_mib(worker.pid)))
        await asyncio.sleep(1)


def _growth(samples: Sequence[tuple[float, float]]) -> float:
    """Answer what was gained between the end of the first quarter, when caches and pools are full, and the end."""
    return max(rss for _, rss in samples[_warm(samples) :]) - max(rss for _, rss in samples[: _warm(samples) + 1])


def _warm(samples: Sequence[tuple[float, float]]) -> int:
    return int(len(samples) * _WARM_SHARE)


async def _until_sent(world: World, expected: int, *, offset: int = 0) -> None:
    """Return once the sinks have accepted `expected` messages and the ledger says so of these and `offset` events more.

    Raises `RunFailed` where the sinks see nothing new for 30 s, or the ledger is not settled 30 s after the last.
    """
    await _until_accepted(world, expected, look_seconds=_LOOK_SECONDS)
    deadline = monotonic() + _SILENCE_SECONDS
    total = expected + offset * CHANNELS
    while (sent := await world.ledger.fetchval("SELECT count(*) FROM deliveries WHERE state = 'sent'")) != total:
        if monotonic() > deadline:
            await _fail(world, f"the ledger says of {sent} deliveries that they were sent, and not of {total}")
        await asyncio.sleep(_LOOK_SECONDS)


async def _until_accepted(world: World, expected: int, *, look_seconds: float) -> None:
    accepted, changed_at = 0, monotonic()
    while accepted < expected:
        await asyncio.sleep(look_seconds)
        newest = await world.sinks.count()
        if newest != accepted:
            accepted, changed_at = newest, monotonic()
        elif monotonic() - changed_at > _SILENCE_SECONDS:
            await _fail(world, f"only {accepted} of {expected} messages reached the sinks")


async def _until_at_end(world: World, events: int, *, seconds: float) -> None:
    """Return once every event is in the ledger and no delivery is under way any more."""
    deadline = monotonic() + seconds
    while True:
        known, under_way = await world.ledger.fetchrow(
            "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM deliveries WHERE finished_at IS NULL)"
        ) or (0, 0)
        if known == events and not under_way:
            return
        if monotonic() > deadline:
            await _fail(world, f"{known} of {events} events are in the ledger, {under_way} deliveries under way")
        await asyncio.sleep(_LOOK_AT_LEDGER_SECONDS)


async def _leased(world: World) -> Mapping[str, int]:
    """Count the leases that dead workers hold, once the database has noticed that they are gone."""
    deadline = monotonic() + _SILENCE_SECONDS
    while left := await world.ledger.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    ):
        if monotonic() > deadline:
            await _fail(world, f"{left} sessions of dead workers are still there")
        await asyncio.sleep(_LOOK_SECONDS)
    rows = await world.ledger.fetch("SELECT channel, count(*) FROM deliveries WHERE state = 'leased' GROUP BY channel")
    return {row["channel"]: row["count"] for row in rows}


async def _expect_all_empty(world: World) -> None:
    """Once workers are gone nothing is handed out any more: what is left stands in the queues and can be counted."""
    if left := await world.all_empty():
        await _fail(world, f"messages are left in queues after the last worker stopped: {left}")


async def _fail(world: World, what: str) -> NoReturn:
    raise RunFailed(
        f"{what}. Deliveries by state: {dict(await world.states())}; messages ready: {dict(await world.queued())}."
        f" The workers' last words:\n{world.fleet.last_words()}"
    )

"""The runs with something in the way: a mountain of bulk, a long history, a channel that hangs, a provider's outage.

Each has services of its own on new data, which are thrown away at its end, whatever is still waiting in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from tests.bench import history, runs
from tests.bench.books import latencies_ms, percentile, tally
from tests.bench.errors import RunFailed
from tests.bench.people import person_id
from tests.bench.results import Behind, Hanging, History, Outage, Phase
from tests.bench.runs import CHANNELS, WORKERS
from tests.bench.world import PEOPLE, World
from worker.commands.explain_view import document
from worker.ledger.connection import Ledger
from worker.ledger.explanation import read_file
from worker.pipeline.send import SEND_SECONDS

URGENT = 100
_URGENT_PER_SECOND = 20
_FIRST_URGENT = 9_000_000
_BUSY_MESSAGES = 2_000
_HISTORY_EVENTS = 20_000
_WARMING = range(_HISTORY_EVENTS, 4 * _HISTORY_EVENTS)
_MEMORY_FOR_A_HISTORY = {"shared_buffers": "2GB", "max_wal_size": "8GB"}
_EXPLAINED = 100
_STEADY_PER_SECOND = 100
_PAIRS = 6
_PHASE_SECONDS = int(SEND_SECONDS) + 4
_WARMING_SECONDS = 5
_WAITING = 20_000
LIMIT_PER_SECOND = 100
_LOOK_SECONDS = 0.05
_LOOK_AT_LEDGER_SECONDS = 0.5
_SILENCE_SECONDS = 120
_SETTLED_SECONDS = 60


async def behind(folder: Path, deliveries: int) -> Behind:
    """Publish urgent events while so many deliveries wait in the bulk lane and are being worked off."""
    async with World.start(folder) as world:
        begun = monotonic()
        waiting = await history.fill(world.ledger, deliveries // CHANNELS, prefix="", people=PEOPLE, state="queued")
        for channel in ("email", "slack"):
            await world.publisher.publish_jobs(f"{channel}.bulk", await history.queued(world.ledger, channel))
        filled = monotonic() - begun
        async with world.fleet.running(WORKERS):
            await _until(world, "", _BUSY_MESSAGES)
            numbers = range(_FIRST_URGENT, _FIRST_URGENT + URGENT)
            published_at_ns = await world.publisher.publish_steadily(
                numbers, per_second=_URGENT_PER_SECOND, event_type="bench.alarm"
            )
            await _until(world, f"from {_FIRST_URGENT}", URGENT * CHANNELS)
            worked_off = await world.sinks.count()
        books = await world.sinks.close_books()
    urgent = [entry for page in books.values() for entry in page if entry.number >= _FIRST_URGENT]
    ordered = latencies_ms(published_at_ns, urgent)
    return Behind(waiting, filled, worked_off - len(urgent), percentile(ordered, 0.5), percentile(ordered, 0.99))


async def long_history(folder: Path, deliveries: int) -> History:
    """Work off the same events with an empty ledger, and with so many finished deliveries in it.

    The database has memory for the indexes, as whoever keeps so much gives it. The full ledger is measured at work and
    not at the first touch: after a checkpoint, and after an index was made, each page is once written whole.
    """
    async with World.start(folder, _MEMORY_FOR_A_HISTORY) as world:
        empty = await runs.full(world, range(_HISTORY_EVENTS), runs.until_settled)
        await world.forget()
        begun = monotonic()
        rows = await history.fill(world.ledger, deliveries // CHANNELS, prefix="h", people=PEOPLE, state="sent")
        filled = monotonic() - begun
        await runs.full(world, _WARMING, runs.until_settled)
        laden = await runs.full(world, range(_HISTORY_EVENTS), runs.until_settled)
        some = range(0, rows // CHANNELS, max(1, rows // CHANNELS // _EXPLAINED))
        explained = [await _explain_ms(world, number) for number in some]
    return History(rows, filled, empty, laden, percentile(sorted(explained), 0.5))


async def _explain_ms(world: World, number: int) -> float:
    """Answer what `kabar explain` takes for an event of the history, but for Python's start and the printing."""
    begun = monotonic()
    event, person = f"h{number:07}", person_id(number % PEOPLE)
    ledger = Ledger(world.postgres.url)
    await ledger.open()
    file = await read_file(ledger, event, person)
    await ledger.aclose()
    assert len(file.cases[0].deliveries) == CHANNELS
    document(file, event, person)
    return (monotonic() - begun) * 1000


async def hanging(folder: Path) -> Hanging:
    """Keep a steady pace with every channel well, and with Slack taking all and answering nothing, by turns.

    The machine's own p99 moves by a multiple within minutes, so one phase of each says nothing. Phases come in pairs,
    (well, hung), (hung, well) and so on, so that what drifts falls on both alike. Each lasts longer than a send is
    waited for, and is timed from its first event to its last mail: it sees the sends hang, all senders of Slack taken,
    the sends given up, the account resting and tried again. Between phases, untimed, Slack answers until nothing of
    the last is left and its account counts as well. A hung Slack also leaves the machine less to do: where that has no
    time to spare, mails are faster then, as their p50 shows, and a p99 that is no worse proves little.
    """
    well: list[Phase] = []
    hung: list[Phase] = []
    turns = [hangs for pair in range(_PAIRS) for hangs in ((True, False) if pair % 2 else (False, True))]
    async with World.start(folder) as world, world.fleet.running(WORKERS) as workers:
        await asyncio.gather(*(worker.ready() for worker in workers))
        # Connections, plans and caches are to be there before anything is timed.
        await _phase(world, range(_WARMING_SECONDS * _STEADY_PER_SECOND), hangs=False)
        for number, hangs in enumerate(turns, start=1):
            first = number * _PHASE_SECONDS * _STEADY_PER_SECOND
            numbers = range(first, first + _PHASE_SECONDS * _STEADY_PER_SECOND)
            (hung if hangs else well).append(await _phase(world, numbers, hangs=hangs))
        given_up = await world.ledger.fetchval("SELECT count(*) FROM attempts WHERE outcome = 'unsure'")
    return Hanging(well, hung, given_up)


async def _phase(world: World, numbers: range, *, hangs: bool) -> Phase:
    """Time the mails of these events. Raises `RunFailed` where Slack took one although it was to hang."""
    await world.sinks.behave("slack", "hang" if hangs else "answer")
    published_at_ns = await world.publisher.publish_steadily(numbers, per_second=_STEADY_PER_SECOND)
    await _until(world, "email", len(numbers))
    if hangs and (answered := await world.sinks.count("slack")):
        raise RunFailed(f"Slack answered {answered} messages while it was to hang")
    await world.sinks.behave("slack", "answer")
    await _settled(world)
    books = await world.sinks.close_books()
    seconds = [numbers[start : start + _STEADY_PER_SECOND] for start in range(0, len(numbers), _STEADY_PER_SECOND)]
    mails = [[entry for entry in books["email"] if entry.number in second] for second in seconds]
    return Phase([latencies_ms(published_at_ns, each) for each in mails], tally(numbers, books))


async def _settled(world: World) -> None:
    """Return once no delivery is under way and no account rests or is tried. Raises `RunFailed` after a minute."""
    deadline = monotonic() + _SETTLED_SECONDS
    while left := await world.ledger.fetchval(
        "SELECT (SELECT count(*) FROM deliveries WHERE finished_at IS NULL)"
        " + (SELECT count(*) FROM accounts WHERE state <> 'closed')"
    ):
        if monotonic() > deadline:
            raise RunFailed(f"{left} deliveries or accounts have not settled. {world.fleet.last_words()}")
        await asyncio.sleep(_LOOK_AT_LEDGER_SECONDS)


async def outage(folder: Path, minutes: float) -> Outage:
    """Let Slack be out of order for so long while messages pile up, then see how they drain at the provider's limit."""
    async with World.start(folder, KABAR_SLACK_PER_SECOND=str(LIMIT_PER_SECOND)) as world:
        await world.sinks.behave("slack", "refuse")
        async with world.fleet.running(WORKERS):
            begun = monotonic()
            await world.publisher.publish_all(range(_WAITING))
            await _until(world, "email", _WAITING)
            await asyncio.sleep(max(0.0, begun + minutes * 60 - monotonic()))
            await world.sinks.behave("slack", "answer")
            healed = monotonic()
            await _until(world, "slack", 1)
            first = monotonic() - healed
            await _until(world, "slack", _WAITING)
            drained = monotonic() - healed
            await runs.until_settled(world, _WAITING * CHANNELS)
        states = await world.states()
        slack = (await world.sinks.close_books())["slack"]
    fastest = _most_in_a_second([entry.at_ns for entry in slack])
    return Outage(_WAITING, LIMIT_PER_SECOND, first, drained, fastest, len(slack) - len({e.number for e in slack}),
                  sum(number for state, number in states.items() if state != "sent"))  # fmt: skip


def _most_in_a_second(moments_ns: Sequence[int]) -> int:
    """Answer the most that were accepted within any second."""
    most = begin = 0
    for end, moment in enumerate(moments_ns):
        while moment - moments_ns[begin] >= 1_000_000_000:
            begin += 1
        most = max(most, end - begin + 1)
    return most


async def _until(world: World, which: str, expected: int) -> None:
    """Return once the sinks have accepted so many of `which` messages. Raises `RunFailed` after two silent minutes."""
    accepted, changed_at = 0, monotonic()
    while accepted < expected:
        await asyncio.sleep(_LOOK_SECONDS)
        newest = await world.sinks.count(which)
        if newest != accepted:
            accepted, changed_at = newest, monotonic()
        elif monotonic() - changed_at > _SILENCE_SECONDS:
            raise RunFailed(
                f"only {accepted} of {expected} messages ({which or 'all'}) reached the sinks."
                f" Deliveries by state: {dict(await world.states())}. {world.fleet.last_words()}"
            )

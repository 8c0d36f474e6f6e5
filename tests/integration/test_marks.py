"""How far a queue has been worked, as the ledger knows it: what is behind a mark that came back has lost its job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from schemas.catalogue import Lane
from schemas.jobs import Mark
from tests.integration.test_ledger import alter, decision, write
from worker.ledger import deliveries
from worker.ledger.connection import Ledger, statement

EMAIL = ("email", Lane.NORMAL)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """The ledger as a timer opens it."""
    opened = Ledger(database_url, connections=10)
    await opened.open()
    yield opened
    await opened.aclose()


async def ready(ledger: Ledger, *ages: int) -> list[UUID]:
    """Deliveries by e-mail that have been ready for so many seconds."""
    ids = await write(ledger, *(decision(f"e{number}") for number in range(len(ages))))
    for delivery, age in zip(ids, ages, strict=True):
        await alter(ledger, f"due_at = now() + interval '60 s' - interval '{age} s'", delivery)
    return ids


async def lost(ledger: Ledger, channel: str = "email", lane: Lane = Lane.NORMAL) -> set[UUID]:
    return {one.id for one in await deliveries.overdue(ledger, channel, lane, 100)}


async def time_passes(ledger: Ledger, seconds: int) -> None:
    span = timedelta(seconds=seconds)
    for table, column in (("marks", "sent_at"), ("marks", "reached_at"), ("deliveries", "due_at")):
        await ledger.fetch(f"UPDATE {table} SET {column} = {column} - $1::interval", span)  # noqa: S608 - our own


async def test_a_backlog_is_not_lost_however_long_it_waits(ledger: Ledger) -> None:
    """A mark that is still in the queue says that nobody has come so far."""
    await ready(ledger, 24 * 3600, 3600, 61)
    await deliveries.mark(ledger, [EMAIL])

    assert await lost(ledger) == set()


async def test_what_was_ready_before_a_mark_that_came_back_has_lost_its_job(ledger: Ledger) -> None:
    """Once a minute, and not what was published so short before that its courier may be about to take it."""
    long_ago, a_minute_ago, just_now = await ready(ledger, 3600, 61, 30)
    (mark,) = await deliveries.mark(ledger, [EMAIL])
    await deliveries.mark_reached(ledger, mark)

    assert await lost(ledger) == {long_ago, a_minute_ago}
    assert await lost(ledger) == set()
    await time_passes(ledger, 31)
    assert await lost(ledger) == {just_now}


async def test_what_is_published_again_is_not_lost_until_a_later_mark_comes_back(ledger: Ledger) -> None:
    """Its new job stands behind the old mark, in a queue that may be an hour long."""
    (delivery,) = await ready(ledger, 3600)
    (mark,) = await deliveries.mark(ledger, [EMAIL])
    await deliveries.mark_reached(ledger, mark)
    assert await lost(ledger) == {delivery}

    await time_passes(ledger, 3600)
    before = await lost(ledger)
    (later,) = await deliveries.mark(ledger, [EMAIL])
    await deliveries.mark_reached(ledger, later)

    assert (before, await lost(ledger)) == (set(), {delivery})


async def test_a_mark_speaks_for_its_own_queue_only(ledger: Ledger) -> None:
    """Urgent work overtakes the rest, and channels do not wait for each other."""
    ids = await write(
        ledger, decision("e1"), decision("e2", lane=Lane.BULK), decision("e3", "telegram"), decision("e4", "email")
    )
    await alter(ledger, "due_at = now()", *ids)
    (mark,) = await deliveries.mark(ledger, [EMAIL])
    await deliveries.mark_reached(ledger, mark)

    assert await lost(ledger, "telegram") == await lost(ledger, "email", Lane.BULK) == set()
    assert await lost(ledger) == {ids[0], ids[3]}


async def test_of_many_timers_one_puts_a_mark_in(ledger: Ledger) -> None:
    """And none does while it is under way: a queue that nobody works on does not fill with marks."""
    await ready(ledger, 25)

    first = await asyncio.gather(*(deliveries.mark(ledger, [EMAIL]) for _ in range(5)))
    await time_passes(ledger, 40)
    none = await deliveries.mark(ledger, [EMAIL])
    await time_passes(ledger, 10)
    instead = await asyncio.gather(*(deliveries.mark(ledger, [EMAIL]) for _ in range(5)))

    assert sum(map(len, first)) == sum(map(len, instead)) == 1
    assert none == []


async def test_a_timer_that_was_held_up_puts_no_second_mark_in(ledger: Ledger, database_url: str) -> None:
    """Two ask within a moment, and the one that began first comes second: to it the mark is from the future."""
    await ready(ledger, 25)
    held_up = await asyncpg.connect(database_url)
    async with held_up.transaction():
        await held_up.fetch("SELECT now()")
        first = await deliveries.mark(ledger, [EMAIL])
        second = await held_up.fetch(statement("mark"), ["email"], ["normal"])
    await held_up.close()

    assert (len(first), second) == (1, [])


async def test_a_mark_that_came_back_is_followed_by_the_next(ledger: Ledger) -> None:
    """As long as something waits, so that the ledger knows how far the queue has come."""
    await ready(ledger, 25)
    (mark,) = await deliveries.mark(ledger, [EMAIL])
    await deliveries.mark_reached(ledger, mark)

    (later,) = await deliveries.mark(ledger, [EMAIL])

    assert later.at > mark.at


async def test_no_mark_is_put_in_where_nothing_has_waited(ledger: Ledger) -> None:
    """On an ordinary day what is ready is taken within milliseconds, and the queues hold jobs only."""
    await ready(ledger, 5)

    assert await deliveries.mark(ledger, [EMAIL, ("email", Lane.BULK), ("inbox", Lane.NORMAL)]) == []
    assert await deliveries.mark(ledger, []) == []


@pytest.mark.parametrize(
    ("states", "marks"),
    [((), 1), (("closed",), 1), (("open",), 0), (("probing", "ramping"), 0), (("open", "closed"), 1)],
)
async def test_no_mark_is_put_in_while_the_channel_rests(ledger: Ledger, states: tuple[str, ...], marks: int) -> None:
    """Couriers hold jobs for minutes then, and lose none of them; where another provider stands in they work on."""
    await ready(ledger, 3600)
    for name, state in (*zip(("email", "email:2"), states, strict=False), ("emails", "open"), ("a", "open")):
        await ledger.fetch(
            "INSERT INTO accounts (name, provider, state, open_until, ramp_from)"
            " VALUES ($1, 'x.test', $2, now(), now())",
            name, state,
        )  # fmt: skip

    assert len(await deliveries.mark(ledger, [EMAIL])) == marks


async def test_marks_may_come_back_twice_and_in_any_order(ledger: Ledger) -> None:
    """The newest counts. One that no timer has put in counts for nothing."""
    (delivery,) = await ready(ledger, 3600)
    (first,) = await deliveries.mark(ledger, [EMAIL])
    forged = Mark(channel="email", lane=Lane.NORMAL, at=first.at + timedelta(hours=1))
    await deliveries.mark_reached(ledger, forged)
    assert await lost(ledger) == set()

    await ledger.fetch("UPDATE marks SET sent_at = sent_at - interval '1 min'")
    (second,) = await deliveries.mark(ledger, [EMAIL])
    for mark in (second, first, second):
        await deliveries.mark_reached(ledger, mark)

    assert [one["reached_at"] for one in await ledger.fetch("SELECT reached_at FROM marks")] == [second.at]
    assert await lost(ledger) == {delivery}


async def test_a_clock_that_was_set_back_makes_nothing_lost(ledger: Ledger) -> None:
    """A database whose clock runs behind its predecessor's has marks from the future: they count for nothing."""
    (delivery,) = await ready(ledger, 3600)
    (mark,) = await deliveries.mark(ledger, [EMAIL])
    await deliveries.mark_reached(ledger, mark)
    await ledger.fetch("UPDATE marks SET sent_at = sent_at + interval '1 h', reached_at = reached_at + interval '1 h'")
    assert await lost(ledger) == set()

    (later,) = await deliveries.mark(ledger, [EMAIL])
    await deliveries.mark_reached(ledger, later)

    assert await lost(ledger) == {delivery}

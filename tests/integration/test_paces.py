"""One address is not written to faster than it takes, by however many workers, in a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from uuid import UUID

import asyncpg
import pytest

from tests.integration.test_ledger import count, decision, know, row, write
from worker.ledger import deliveries
from worker.ledger.connection import Ledger
from worker.ledger.deliveries import Leased, Settlement

HOLD = 0.25


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """The ledger as a process opens it."""
    opened = Ledger(database_url, connections=10)
    await opened.open()
    yield opened
    await opened.aclose()


async def messages(ledger: Ledger, number: int, person: str = "ani", first: int = 0) -> list[UUID]:
    """So many deliveries to one chat."""
    await know(ledger, person, addresses={"telegram": [f"{person}@x.test"]})
    return await write(ledger, *(decision(f"{person}{first + n}", "telegram", person=person) for n in range(number)))


async def lease(ledger: Ledger, ids: list[UUID], spacing: float | None = 1.0) -> list[Leased]:
    leased, _ = await ledger.persist(
        lambda: deliveries.lease(ledger, ids, 7, 60, spacing_seconds=spacing, hold_seconds=HOLD)
    )
    return leased


def is_even(waiting: list[asyncpg.Record], first: float = 1.0) -> bool:
    """Whether their slots lie a second apart, the first that far ahead of the lease a moment ago."""
    gaps = [(late["due_at"] - early["due_at"]).total_seconds() for early, late in pairwise(waiting)]
    return first - 5 < waiting[0]["left"] <= first and gaps == pytest.approx([1.0] * len(gaps), abs=0.001)


async def put_off(ledger: Ledger) -> list[asyncpg.Record]:
    """What waits for its address, in the order of its slots."""
    return await ledger.fetch(
        "SELECT *, extract(epoch FROM due_at - now())::float8 AS left FROM deliveries"
        " WHERE state = 'waiting' ORDER BY due_at"
    )


async def slots_come(ledger: Ledger, number: int = 1) -> None:
    """Let so many slots come, and wake what has waited for them."""
    for clock in ("UPDATE paces SET next_at = next_at - $1, tail_at = tail_at - $1",
                  "UPDATE deliveries SET due_at = due_at - $1 WHERE state = 'waiting'"):  # fmt: skip
        await ledger.fetch(clock.replace("$1", f"interval '{number} s'"))
    await deliveries.wake(ledger, 100)


async def test_one_chat_gets_one_message_a_second(ledger: Ledger) -> None:
    """The first goes out, the others wait for a second each, without an attempt; no address stands in the new table."""
    ids = await messages(ledger, 5)

    (leased,) = await lease(ledger, ids)

    waiting = await put_off(ledger)
    assert leased.delay_seconds == 0
    assert len(waiting) == 4
    assert is_even(waiting)
    assert {(one["reason"], one["attempt"]) for one in waiting} == {("paced", 0)}
    assert "ani" not in str(await ledger.fetch("SELECT * FROM paces"))


async def test_neighbours_do_not_wait_for_one_another(ledger: Ledger) -> None:
    """Twenty chats get their messages at once."""
    ids = [one for number in range(20) for one in await messages(ledger, 1, f"p{number}")]

    assert len(await lease(ledger, ids)) == 20


async def test_what_was_put_off_keeps_its_place(ledger: Ledger) -> None:
    """Whoever comes later waits behind it, even if it comes in the very moment of its slot."""
    first = await messages(ledger, 3)
    await lease(ledger, first)
    (next_up, last) = [one["id"] for one in await put_off(ledger)]
    await slots_come(ledger)

    late = await messages(ledger, 1, first=3)
    leased = await lease(ledger, [*late, next_up])

    assert [one.id for one in leased] == [next_up]
    assert [one["id"] for one in await put_off(ledger)] == [last, *late]
    assert is_even(await put_off(ledger))


async def test_all_come_out_in_the_end_one_a_second(ledger: Ledger) -> None:
    """However the slots come, each is leased once it is woken, and none is put off twice."""
    ids = await messages(ledger, 6)
    taken = [len(await lease(ledger, ids))]
    for _ in range(5):
        await slots_come(ledger)
        queued = await ledger.fetch("SELECT id FROM deliveries WHERE state = 'queued'")
        taken.append(len(await lease(ledger, [one["id"] for one in queued])))

    assert taken == [1] * 6


async def test_after_a_timers_pause_no_more_go_out_at_once(ledger: Ledger) -> None:
    """What was woken late, all in one moment, is put off again."""
    ids = await messages(ledger, 5)
    await lease(ledger, ids)
    await slots_come(ledger, 10)

    assert len(await lease(ledger, ids)) == 1
    waiting = await put_off(ledger)
    assert len(waiting) == 3
    assert is_even(waiting)


async def test_a_short_wait_is_held_and_not_put_off(ledger: Ledger) -> None:
    """The courier is told how long."""
    leased = await lease(ledger, await messages(ledger, 4), spacing=0.1)

    assert sorted(one.delay_seconds for one in leased) == pytest.approx([0, 0.1, 0.2], abs=0.02)
    assert len(await put_off(ledger)) == 1


async def test_an_address_that_asked_for_rest_rests_on_every_worker(ledger: Ledger) -> None:
    """Whether there is a pace or none; its neighbours go on."""
    first, *others = await messages(ledger, 3)
    (leased,) = await lease(ledger, [first], spacing=0.0)
    await deliveries.settle(
        ledger,
        [Settlement(leased.id, 7, "waiting", "rate_limited", delay_seconds=30, outcome="deferred", rest_seconds=30)],
        [],
    )
    neighbour = await messages(ledger, 1, "bo")

    assert [one.id for one in await lease(ledger, [*others, *neighbour], spacing=0.0)] == neighbour
    assert all(25 < one["left"] <= 30 for one in await put_off(ledger))
    await ledger.fetch("UPDATE deliveries SET state = 'queued' WHERE state = 'waiting'")
    assert await lease(ledger, [first, *others]) == []
    assert is_even(await put_off(ledger), 30)


async def test_where_no_address_ever_rests_nothing_is_asked(ledger: Ledger) -> None:
    """A mailbox takes what comes, and costs no row."""
    assert len(await lease(ledger, await messages(ledger, 5), spacing=None)) == 5
    assert await count(ledger, "paces") == 0


async def test_what_would_be_late_is_ended_and_says_why(ledger: Ledger) -> None:
    """No row waits beyond its expiry."""
    ids = await messages(ledger, 4)
    await ledger.fetch("UPDATE deliveries SET expires_at = now() + interval '15 s'")

    await lease(ledger, ids, spacing=10.0)

    ends = [(found["state"], found["reason"]) for found in [await row(ledger, one) for one in ids]]
    assert sorted(ends) == [("expired", "paced"), ("expired", "paced"), ("leased", ""), ("waiting", "paced")]


async def test_many_workers_at_once_find_one_slot_each_and_no_deadlock(ledger: Ledger) -> None:
    """Eight couriers with forty messages to each of three chats, in any order: one a chat, the others evenly behind."""
    ids = [one for name in ("ani", "bo", "cy") for one in await messages(ledger, 40, name)]

    taken = await asyncio.gather(*(lease(ledger, ids[number::8][:: 1 - 2 * (number % 2)]) for number in range(8)))

    assert sorted(one.person_id for each in taken for one in each) == ["ani", "bo", "cy"]
    for person in ("ani", "bo", "cy"):
        waiting = [one for one in await put_off(ledger) if one["person_id"] == person]
        assert len(waiting) == 39
        assert is_even(waiting)


async def test_what_is_long_over_is_forgotten(ledger: Ledger) -> None:
    """And nothing else, in whichever part of the hashes it lies."""
    await lease(ledger, await messages(ledger, 1, "ani") + await messages(ledger, 1, "bo"))
    await ledger.fetch(
        "UPDATE paces SET next_at = now() - interval '2 min', tail_at = now() - interval '2 min'"
        " WHERE key = (SELECT min(key) FROM paces)"
    )

    for part in range(64):
        await deliveries.sweep_paces(ledger, part, 64)

    assert await count(ledger, "paces") == 1

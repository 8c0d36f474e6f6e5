"""Reading the ledger for people: what became of an event, who somebody is, what is not at an end. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from worker.ledger.connection import Ledger, Record, statement

_SOURCES = 20
"""How many sources of one event id, and how many dead letters of it, are looked at."""


@dataclass(frozen=True, slots=True)
class EventStory:
    """An event and what became of it. `counts` is complete, `deliveries` ends at the limit asked for."""

    event: Record
    counts: list[Record]
    deliveries: list[Record]
    attempts: list[Record]
    """The tries at these deliveries that did not succeed."""

    @property
    def total(self) -> int:
        """How many deliveries there are."""
        return sum(row["deliveries"] for row in self.counts)


async def event_stories(ledger: Ledger, event_id: str, source: str, limit: int) -> list[EventStory]:
    """Answer the events of this id, oldest first; `source` '' means any. `limit`: deliveries of each."""
    found = await ledger.fetch(statement("event_find"), event_id, source, _SOURCES)
    return [await _story(ledger, event, limit) for event in found]


async def _story(ledger: Ledger, event: Record, limit: int) -> EventStory:
    counts = await ledger.fetch(statement("event_counts"), event["key"])
    deliveries = await ledger.fetch(statement("event_deliveries"), event["key"], limit)
    return EventStory(event, counts, deliveries, await attempts_of(ledger, [row["id"] for row in deliveries]))


async def rejections(ledger: Ledger, event_id: str) -> list[Record]:
    """Answer the dead letters of an event that was not taken in, newest first."""
    return await ledger.fetch(statement("dead_of_event"), event_id, _SOURCES)


async def attempts_of(ledger: Ledger, deliveries: Sequence[UUID]) -> list[Record]:
    """Answer the tries at these deliveries that did not succeed, each delivery's oldest first."""
    return await ledger.fetch(statement("attempts_of"), deliveries)


async def find_delivery(ledger: Ledger, delivery_id: UUID) -> Record | None:
    """Answer one delivery as it stands; None where retention has removed it."""
    return next(iter(await ledger.fetch(statement("delivery_find"), delivery_id)), None)


async def find_person(ledger: Ledger, person_id: str) -> Record | None:
    """Answer a person with addresses and preferences; None where there was never one of this id."""
    return next(iter(await ledger.fetch(statement("person_find"), person_id)), None)


async def backlog(ledger: Ledger) -> list[Record]:
    """Count, by state, what is not at an end (`total`) and what should have moved on a minute ago (`late`)."""
    return await ledger.fetch(statement("backlog"))


async def accounts(ledger: Ledger, channels: Sequence[str]) -> list[Record]:
    """Answer the providers' accounts of channels: its state, why, and where it rests for how many seconds yet."""
    return await ledger.fetch(statement("accounts_of"), channels)


async def dead_by_channel(ledger: Ledger) -> dict[str, int]:
    """Count the dead letters that wait for a human; '' stands for events and jobs."""
    return {row["channel"]: row["letters"] for row in await ledger.fetch(statement("dead_by_channel"))}


async def server(ledger: Ledger) -> Record:
    """Answer the server's `version_number` (140005), `version` and the `connections` it has room for."""
    return (await ledger.fetch(statement("server")))[0]

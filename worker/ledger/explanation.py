"""Reading all that the ledger knows of one event and one person. Changes nothing; every statement goes by an index."""

from __future__ import annotations

from dataclasses import dataclass

from worker.ledger.connection import Ledger, Record, statement
from worker.ledger.fan_outs import find_fan_out
from worker.ledger.inquiry import accounts, attempts_of

_MOST = 20
"""How many sources of one event id, and how many letters of it, are looked at."""


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """A person as known now. `person` is None where there was never one of this id."""

    person: Record | None
    addresses: list[Record]
    preferences: list[Record]


@dataclass(frozen=True, slots=True)
class Case:
    """An event and what it made for one person."""

    event: Record
    fan_out: Record | None
    """How far its audience has been told, where that is large."""
    notifications: list[Record]
    deliveries: list[Record]
    attempts: list[Record]
    letters: list[Record]
    deeds: list[Record]
    """What operators did with the deliveries and their letters."""


@dataclass(frozen=True, slots=True)
class File:
    """All of it: one case for each source of the event id, and the letters of those that were not taken in.

    `accounts`: the providers' of the channels on which something is to be sent.
    """

    who: Acquaintance
    cases: list[Case]
    rejections: list[Record]
    deeds: list[Record]
    accounts: list[Record]


async def read_file(ledger: Ledger, event_id: str, person_id: str, source: str = "") -> File:
    """Read what is known of an event, by its producer's id, and of a person."""
    found = await ledger.fetch(statement("event_find"), event_id, source, _MOST)
    cases = [await _case(ledger, event, person_id) for event in found]
    rejections = await ledger.fetch(statement("explain_rejections"), event_id, _MOST)
    who, deeds = await _acquaintance(ledger, person_id), await _deeds(ledger, rejections)
    channels = {row["channel"] for case in cases for row in case.deliveries if row["state"] == "queued"}
    resting = await accounts(ledger, sorted(channels)) if channels else []
    return File(who, cases, rejections, deeds, resting)


async def _acquaintance(ledger: Ledger, person_id: str) -> Acquaintance:
    person = await ledger.fetch(statement("explain_person"), person_id)
    return Acquaintance(
        next(iter(person), None),
        await ledger.fetch(statement("explain_addresses"), person_id),
        await ledger.fetch(statement("explain_preferences"), person_id),
    )


async def _case(ledger: Ledger, event: Record, person_id: str) -> Case:
    key = event["key"]
    deliveries = await ledger.fetch(statement("explain_deliveries"), key, person_id)
    ids = [row["id"] for row in deliveries]
    letters = await ledger.fetch(statement("explain_letters"), ids)
    return Case(
        event,
        await find_fan_out(ledger, key),
        await ledger.fetch(statement("explain_notifications"), key, person_id),
        deliveries,
        await attempts_of(ledger, ids),
        letters,
        await _deeds(ledger, [*deliveries, *letters]),
    )


async def _deeds(ledger: Ledger, rows: list[Record]) -> list[Record]:
    return await ledger.fetch(statement("explain_deeds"), [str(row["id"]) for row in rows])

"""Dead letters: what needs a human, with all that is needed to judge it and to send it again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from worker.core.dead_letter import DeadLetter
from worker.ledger.connection import Ledger, Record, statement

_PAGE_BYTES = 8 * 1024 * 1024
COLUMNS = (
    "id", "kind", "delivery_id", "event_id", "event_type", "channel", "stage", "reason", "field", "remedy",
    "fingerprint", "body", "properties", "routing_key", "state", "arrivals", "created_at", "resolved_at",
    "first_seen_at", "kabar_version", "template_version", "provider",
)  # fmt: skip
"""All that is kept of a letter."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which open letters are meant; what is '' may be any. `since`: when they arrived, or arrived again."""

    fingerprint: str = ""
    reason: str = ""
    event_type: str = ""
    channel: str = ""
    since: datetime = _LONG_AGO


class Tally(NamedTuple):
    """How many letters a filter has, and the database's time at which it had them."""

    letters: int
    at: datetime


async def bury(ledger: Ledger, letters: Sequence[DeadLetter], kind: str) -> None:
    """Write letters from the broker; one that is here already is open again and counted."""
    rows = {letter.id: letter for letter in letters}.values()
    columns = [
        (r.id, kind, r.event_id, r.event_type, r.stage, r.reason, r.field, r.remedy, r.fingerprint, r.body,
         r.properties, r.routing_key)
        for r in rows
    ]  # fmt: skip
    await ledger.fetch(statement("bury"), *zip(*columns, strict=True))


async def count_open(ledger: Ledger) -> int:
    """Count the letters that wait for a human."""
    (row,) = await ledger.fetch(statement("dead_count"))
    return int(row["letters"])


async def groups(ledger: Ledger, limit: int, *, with_closed: bool) -> list[Record]:
    """Answer the troubles behind the letters, the most pressing first; those with nothing open only if asked for."""
    return await ledger.fetch(statement("dead_groups"), with_closed, limit)


async def find_groups(ledger: Ledger, prefix: str) -> list[str]:
    """Answer the fingerprints that begin so; of several the first and the last, so that a doubt can be seen."""
    (row,) = await ledger.fetch(statement("dead_group_find"), prefix)
    return sorted({row["first"], row["last"]} - {None})


async def list_open(ledger: Ledger, limit: int, wanted: Filter | None = None) -> list[Record]:
    """Answer the newest open letters, without their bodies."""
    return await ledger.fetch(statement("dead_list"), *_columns(wanted or Filter()), limit)


async def tally(ledger: Ledger, wanted: Filter) -> Tally:
    """Count open letters."""
    (row,) = await ledger.fetch(statement("dead_tally"), *_columns(wanted))
    return Tally(row["letters"], row["at"])


async def pages(ledger: Ledger, wanted: Filter, *, until: datetime, size: int) -> AsyncIterator[list[Record]]:
    """Answer open letters whole, oldest first, each once, at most `size` and some megabytes at a time.

    What arrives or arrives again after `until` is not among them, so whoever replays them comes to an end.
    """
    before, behind = wanted.since, UUID(int=0)
    filters = _columns(wanted)[:-1]
    while page := await ledger.fetch(statement("dead_page"), *filters, until, before, behind, size, _PAGE_BYTES):
        yield page
        before, behind = page[-1]["created_at"], page[-1]["id"]


async def pages_of_all(ledger: Ledger, wanted: Filter, *, size: int) -> AsyncIterator[list[Record]]:
    """Answer letters whole, also those that are not open, in the order of their ids; bounded as `pages`."""
    behind = UUID(int=0)
    while page := await ledger.fetch(statement("dead_export"), *_columns(wanted), behind, size, _PAGE_BYTES):
        yield page
        behind = page[-1]["id"]


async def find(ledger: Ledger, prefix: str) -> list[Record]:
    """Answer the letters whose id begins with `prefix`, whole; at most two, so that a doubt can be seen."""
    return await ledger.fetch(statement("dead_find"), prefix)


async def history(ledger: Ledger, letter_id: UUID) -> list[Record]:
    """Answer what was done with a letter, oldest first."""
    return await ledger.fetch(statement("dead_history"), letter_id)


async def revive_deliveries(
    ledger: Ledger, letters: Sequence[UUID], *, attempts: int, channels: Sequence[str], actor: str, detail: str
) -> list[Record]:
    """Give dead deliveries a new attempt budget and make them ready; answers those that are, with their letters.

    What is missing is not dead any more, has expired, or is of no channel among `channels`: `fates` tells.
    """
    return await ledger.fetch(statement("dead_replay"), letters, attempts, channels, actor, detail)


async def fates(ledger: Ledger, letters: Sequence[UUID]) -> dict[UUID, Record]:
    """Answer what the deliveries of letters are now (`channel`, `state`, `is_late`), by the letters' ids."""
    return {row["letter_id"]: row for row in await ledger.fetch(statement("dead_fates"), letters)}


async def close_published(ledger: Ledger, published: Sequence[tuple[Record, str]], actor: str) -> set[UUID]:
    """Close the letters of events that were published again, each with a detail for the audit; answers the closed.

    What is missing has arrived again since it was read, and stays open.
    """
    letters = [letter for letter, _ in published]
    details = [detail for _, detail in published]
    return await _closed(ledger, "dead_published", letters, actor, details)


async def drop(ledger: Ledger, letters: Sequence[Record], actor: str, reason: str) -> set[UUID]:
    """Close letters for good; answers those that were open, and have not arrived again since they were read."""
    return await _closed(ledger, "dead_drop", letters, actor, reason)


async def payload_of(ledger: Ledger, delivery_id: UUID) -> str | None:
    """Answer the payload of the event that a delivery tells, JSON; None where it is not in the ledger any more."""
    rows = await ledger.fetch(statement("dead_payload"), delivery_id)
    return str(rows[0]["data"]) if rows else None


async def edit(ledger: Ledger, letter: Record, body: bytes, actor: str, change: str) -> bool:
    """Give an event's letter another body, and keep the change in the audit.

    False, and nothing changed: it is not open any more, or is not as it was when it was read.
    """
    given = (letter["id"], letter["arrivals"], letter["body"], body, actor, change)
    return bool(await ledger.fetch(statement("dead_edit"), *given))


async def take_in(ledger: Ledger, letters: Sequence[tuple[object, ...]], actor: str, origin: str) -> set[UUID]:
    """Write letters from elsewhere, their columns in the order of `COLUMNS`; answers those that were not here yet."""
    rows = await ledger.fetch(statement("dead_import"), *zip(*letters, strict=True), actor, origin)
    return {row["id"] for row in rows}


async def note_export(ledger: Ledger, actor: str, detail: str) -> None:
    """Say in the audit that letters were taken out."""
    await ledger.fetch(statement("audit_note"), actor, "dead_letter.exported", "dead_letters", detail)


async def _closed(
    ledger: Ledger, name: str, letters: Sequence[Record], actor: str, detail: str | Sequence[str]
) -> set[UUID]:
    ids, arrivals = [one["id"] for one in letters], [one["arrivals"] for one in letters]
    return {row["id"] for row in await ledger.fetch(statement(name), ids, arrivals, actor, detail)}


def _columns(wanted: Filter) -> tuple[str, str, str, str, datetime]:
    return wanted.fingerprint, wanted.reason, wanted.event_type, wanted.channel, wanted.since

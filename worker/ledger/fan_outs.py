"""Large audiences: how far each has been told, its next people, and a slice of them written."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

import orjson

from schemas.catalogue import Lane
from schemas.envelope import STRUCTURED
from worker.core.message import RawMessage
from worker.core.plan import Decision, Person
from worker.ledger.connection import Ledger, Record, statement
from worker.ledger.directory import person_of
from worker.ledger.intake import delivery_columns, notification_columns


class Slice(NamedTuple):
    """People of an audience with ids after `after`, up to and with `until`; how many, and whether no more follow."""

    after: str
    until: str
    people: int
    is_last: bool


async def next_people(ledger: Ledger, roles: Collection[str], after: str, limit: int) -> list[Person]:
    """Answer the people of these roles whose ids come next after `after`, in their order."""
    return [person_of(row) for row in await ledger.fetch(statement("slice_facts"), list(roles), after, limit)]


async def record_slice(ledger: Ledger, decision: Decision, part: Slice, edition: int | None) -> bool:
    """Write a slice and move the cursor past it. False: the cursor stands elsewhere, and nothing is written."""
    rows = await ledger.fetch(
        statement("slice"), decision.event.key, part.after, part.until, part.is_last, part.people,
        *notification_columns([decision]), *delivery_columns([decision]), edition,
    )  # fmt: skip
    return bool(rows[0]["is_ours"])


async def find_fan_out(ledger: Ledger, event_key: UUID) -> Record | None:
    """Answer `lane, cursor, people, started_at, finished_at`; None where the event's audience was not large."""
    return next(iter(await ledger.fetch(statement("fan_out_find"), event_key)), None)


async def stalled(ledger: Ledger, lane: Lane, limit: int) -> list[tuple[RawMessage, str]]:
    """Answer the audiences of this lane that nobody has gone on telling for a minute: the message to go on, the cursor.

    The message is made anew from the ledger, since the broker's is gone.
    """
    rows = await ledger.fetch(statement("fan_out_stalled"), lane, limit)
    return [(_message(row), row["cursor"]) for row in rows]


def _message(row: Record) -> RawMessage:
    attributes = {
        "specversion": "1.0",
        "id": row["id"],
        "source": row["source"],
        "type": row["type"],
        "time": row["time"],
        "subject": row["subject"],
        "actor": row["actor"],
        "audience": row["audience"],
        "priority": row["priority"],
        "expiresat": row["expires_at"],
        "schemaversion": row["version"],
        "traceparent": row["traceparent"],
        "data": orjson.loads(row["data"]),
    }
    told = {name: value for name, value in attributes.items() if value is not None}
    body = orjson.dumps(orjson.loads(row["extensions"]) | told)
    return RawMessage(body, row["type"], STRUCTURED, message_id=row["id"])

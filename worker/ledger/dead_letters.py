"""Dead letters: what needs a human, with all that is needed to judge it and to send it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from schemas.catalogue import Lane
from worker.core.dead_letter import DeadLetter
from worker.ledger.connection import Connection, Ledger, Record, statement
from worker.ledger.intake import Ready


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


async def list_open(ledger: Ledger, limit: int) -> list[Record]:
    """Answer the newest open letters, without their bodies."""
    return await ledger.fetch(statement("dead_list"), limit)


async def groups(ledger: Ledger, limit: int, *, with_closed: bool) -> list[Record]:
    """Answer the troubles behind the letters, the most pressing first; those with nothing open only if asked for."""
    return await ledger.fetch(statement("dead_groups"), with_closed, limit)


async def find(ledger: Ledger, prefix: str) -> list[Record]:
    """Answer the letters whose id begins with `prefix`, whole; at most two, so that a doubt can be seen."""
    return await ledger.fetch(statement("dead_find"), prefix)


async def history(ledger: Ledger, letter_id: UUID) -> list[Record]:
    """Answer what was done with a letter, oldest first."""
    return await ledger.fetch(statement("dead_history"), letter_id)


async def replay_delivery(ledger: Ledger, letter: Record, actor: str, attempts: int) -> list[Ready]:
    """Give a dead delivery a new attempt budget and make it ready.

    Empty, and nothing changed: the delivery is not dead any more, or has expired.
    """

    async def work(connection: Connection) -> list[Ready]:
        rows = await connection.fetch(statement("dead_replay_delivery"), letter["delivery_id"], attempts)
        if rows:
            closing = _resolving(letter, "replayed", actor, f"{attempts} more attempts")
            await connection.fetch(statement("dead_resolve"), *closing)
        return [Ready(row["id"], row["channel"], Lane(row["lane"])) for row in rows]

    return await ledger.transact(work)


async def resolve(
    ledger: Ledger, letter: Record, state: Literal["replayed", "dropped"], actor: str, detail: str
) -> list[Record]:
    """Close a letter and say so in the audit. Empty: it has arrived again since it was read, and stays open."""
    return await ledger.fetch(statement("dead_resolve"), *_resolving(letter, state, actor, detail))


def _resolving(letter: Record, state: str, actor: str, detail: str) -> tuple[object, ...]:
    return letter["id"], state, actor, detail, letter["arrivals"]

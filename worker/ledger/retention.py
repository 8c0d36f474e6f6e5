"""Deleting what is old, in small batches that hold nobody up."""

from __future__ import annotations

from datetime import timedelta

from worker.ledger.connection import Ledger, statement


async def types_known(ledger: Ledger) -> list[str]:
    """Answer every type of which there are events, also those that no catalogue has any more."""
    return [row["type"] for row in await ledger.fetch(statement("sweep_types"))]


async def sweep(ledger: Ledger, event_type: str, kept: timedelta, limit: int) -> int:
    """Delete up to `limit` events of a type that are older than it is kept, with all that came of them.

    Answers how many. What is not at an end, or waits for a human, stays.
    """
    rows = await ledger.fetch(statement("sweep"), event_type, kept.total_seconds(), limit)
    return int(rows[0]["events"])


async def sweep_letters(ledger: Ledger, kept: timedelta, limit: int) -> int:
    """Delete up to `limit` dead letters of events that were replayed or dropped so long ago. Answers how many."""
    return len(await ledger.fetch(statement("sweep_letters"), kept.total_seconds(), limit))

"""Deliveries that are held because nobody knows whether they went out, and what an operator decides of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from worker.ledger.connection import Ledger, Record, statement

PAGE = 500
"""How many deliveries one statement reads or changes."""
_BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
Deed = Literal["resend", "was_sent"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which of those that are held. What is empty does not narrow."""

    channel: str = ""
    event_type: str = ""
    older_than: timedelta = timedelta()


async def held(ledger: Ledger, which: Filter, limit: int) -> AsyncIterator[list[Record]]:
    """Answer what is held, the longest held first, in pages and at most `limit` in all."""
    place = _BEGINNING
    while limit > 0:
        page = await ledger.fetch(
            statement("unsure_list"), *place, which.channel, which.event_type, which.older_than.total_seconds(),
            min(limit, PAGE),
        )  # fmt: skip
        if not page:
            return
        yield page
        limit -= len(page)
        place = (page[-1]["held_at"], page[-1]["id"])


async def find(ledger: Ledger, prefix: str) -> list[Record]:
    """Answer the deliveries whose id begins with `prefix`, held or not; at most two, so that a doubt can be seen."""
    return await ledger.fetch(statement("delivery_prefix"), prefix)


async def decide(ledger: Ledger, deed: Deed, ids: Sequence[UUID], actor: str, reason: str) -> list[Record]:
    """Do with held deliveries what an operator decided, and say so in the audit, in one statement.

    `resend` gives an attempt more; `was_sent` ends them as sent. Answers those it was done with: the others were not
    held any more, or had expired (`resend`), or are the inbox's (`was_sent`).
    """
    return await ledger.fetch(statement(f"unsure_{deed}"), ids, actor, reason)

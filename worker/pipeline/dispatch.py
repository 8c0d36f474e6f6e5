"""Stage 4: decisions become rows in one statement, then confirmed jobs. Only then may the event be acknowledged.

The event's own message is the outbox between the two: if it comes back after a crash, its rows are there, and what
of them still waits is published again. A doubled job finds nothing to lease.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from worker.broker.publisher import Publisher, until_published
from worker.core.plan import Decision, Plan
from worker.ledger.connection import Ledger
from worker.ledger.intake import Ready, record, still_queued


async def dispatch(
    ledger: Ledger,
    publisher: Publisher,
    decisions: Sequence[Decision],
    copies: Mapping[UUID, int],
    edition: int | None = None,
) -> frozenset[UUID]:
    """Write and publish a batch, of which each event arrived in so many `copies`, to be said in the words of `edition`.

    Waits out outages of either side.

    Answers the keys of events seen before.
    """
    known = frozenset(await ledger.persist(lambda: record(ledger, decisions, copies, edition)))
    ready = [ready for decision in decisions if decision.event.key not in known for ready in _ready(decision)]
    if known:
        ready += await ledger.persist(lambda: still_queued(ledger, list(known)))
    await until_published(lambda: publisher.publish_jobs(ready))
    return known


def _ready(decision: Decision) -> list[Ready]:
    return [
        Ready(delivery.id, delivery.channel, delivery.decision.lane)
        for notification in decision.notifications
        for delivery in notification.deliveries
        if isinstance(delivery.decision, Plan)
    ]

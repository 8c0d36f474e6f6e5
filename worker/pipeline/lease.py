"""Stage 5: claim deliveries, and look once more whether they are still to be sent."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from uuid import UUID

from worker.ledger import deliveries
from worker.ledger.connection import Ledger
from worker.ledger.deliveries import Ended, Leased

LEASE_SECONDS = 60.0
HOLD_SECONDS = 0.25
"""How long a leased delivery may wait for its address; what must wait longer is put off."""


async def lease(
    ledger: Ledger, ids: Sequence[UUID], per_address: float | None = None
) -> tuple[list[Leased], list[Ended]]:
    """Claim these for `LEASE_SECONDS` in one statement; waits while the database is away.

    Answers those that are ours, and those that came to an end on looking again or have to wait for their address:
    `per_address` as in the channel's abilities. What was claimed by a try whose answer was lost is given back before
    the next; what that misses stays leased to nobody, and the timer resolves it when the lease runs out.
    """
    spacing = 1 / per_address if per_address else per_address
    token = secrets.randbits(62)
    tried = False

    async def work() -> tuple[list[Leased], list[Ended]]:
        nonlocal tried
        if tried:
            await deliveries.give_back(ledger, ids, token)
        tried = True
        return await deliveries.lease(
            ledger, ids, token, LEASE_SECONDS, spacing_seconds=spacing, hold_seconds=HOLD_SECONDS
        )

    return await ledger.persist(work)

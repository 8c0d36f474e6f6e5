"""Stage 2: the facts a batch needs, read in one round trip: people, addresses, preferences."""

from __future__ import annotations

from collections.abc import Sequence

from worker.core.message import Event
from worker.core.plan import Facts
from worker.core.routing import audience_of
from worker.ledger.connection import Ledger
from worker.ledger.directory import read_facts


async def address(ledger: Ledger, events: Sequence[Event]) -> Facts:
    """Read everything known of everybody these events may concern."""
    audiences = [audience_of(event, route) for event in events for route in event.info.routes]
    persons = {person for audience in audiences for person in audience.persons}
    roles = {role for audience in audiences for role in audience.roles}
    if not persons and not roles:
        return Facts({})
    return await read_facts(ledger, persons, roles)

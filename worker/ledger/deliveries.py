"""The life of a delivery in the ledger: leased, settled, woken, reaped. Each is one statement per batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from schemas.catalogue import Lane
from schemas.jobs import Mark
from worker.core.outcome import UnsurePolicy
from worker.ledger.connection import Ledger, Record, statement
from worker.ledger.intake import Ready


class Leased(NamedTuple):
    """A delivery that is ours until its lease runs out, with all that rendering and reporting need."""

    id: UUID
    token: int
    notification_id: UUID
    person_id: str
    channel: str
    address: str
    lane: Lane
    attempt: int
    attempt_limit: int
    on_unsure: UnsurePolicy
    created_at: datetime
    route: str
    event_id: str
    event_source: str
    event_type: str
    event_time: datetime
    data: str
    """The event's payload, JSON."""
    traceparent: str | None
    name: str
    locale: str | None
    time_zone: str | None
    template_edition: int | None = None
    """The newest edition of the texts when it was planned; None: what is newest now."""
    delay_seconds: float = 0.0
    """How long its address must be spared yet: at most what the lease was asked to hold."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A delivery that came to an end, or to rest, without a courier: seen at lease or by the timer."""

    delivery_id: UUID
    notification_id: UUID
    person_id: str
    channel: str
    state: str
    reason: str
    attempt: int
    event_id: str
    event_source: str
    event_type: str
    traceparent: str | None


class Settlement(NamedTuple):
    """What is to be written of one leased delivery. `delay_seconds` counts from the database's now."""

    id: UUID
    token: int
    state: str
    reason: str = ""
    detail: str = ""
    delay_seconds: float = 0.0
    gives_back: bool = False
    resends: bool = False
    reference: str = ""
    outcome: str = "sent"
    duration_ms: int | None = None
    suppresses: bool = False
    fingerprint: str = ""
    template_version: str = ""
    provider: str = ""
    rest_seconds: float = 0.0
    """How long nothing may be sent to its address; 0 where nobody asked for rest."""


class Shown(NamedTuple):
    """What the inbox is to show of a notification."""

    delivery_id: UUID
    notification_id: UUID
    title: str
    body: str
    link: str
    action: str
    trimmings: str | None = None
    """What is shown beside the words, JSON; None where there is nothing."""


async def lease(
    ledger: Ledger,
    ids: Sequence[UUID],
    token: int,
    lease_seconds: float,
    *,
    spacing_seconds: float | None = None,
    hold_seconds: float = 0.0,
) -> tuple[list[Leased], list[Ended]]:
    """Claim these deliveries under a token. Answers those that are ours, and those that came to an end or to rest.

    `spacing_seconds` lie between two messages to one address; 0: none, but an address that asked for rest is spared;
    None: no address ever does. What would have to wait for longer than `hold_seconds` is put off.
    What is neither was not queued any more: another courier has it, or it has been dealt with.
    """
    rows = await ledger.fetch(statement("lease"), ids, token, lease_seconds, spacing_seconds, hold_seconds)
    leased = [_leased(row, token) for row in rows if row["state"] == "leased"]
    ended = [_ended(row) for row in rows if row["state"] != "leased"]
    return leased, ended


async def give_back(ledger: Ledger, ids: Sequence[UUID], token: int) -> None:
    """Make ready again what was leased under this token by a call whose answer was lost: nobody sends it."""
    await ledger.fetch(statement("give_back"), ids, token)


def _leased(row: Record, token: int) -> Leased:
    (
        delivery_id, notification_id, person_id, channel, address, lane, _, _, attempt, attempt_limit, on_unsure,
        created_at, route, event_id, source, event_type, time, data, traceparent, name, locale, time_zone, edition,
        delay,
    ) = row  # fmt: skip
    return Leased(
        delivery_id, token, notification_id, person_id, channel, address, Lane(lane), attempt, attempt_limit,
        UnsurePolicy(on_unsure), created_at, route, event_id, source, event_type, time, data, traceparent, name or "",
        locale, time_zone, edition, delay or 0.0,
    )  # fmt: skip


def _ended(row: Record) -> Ended:
    return Ended(
        row["id"], row["notification_id"], row["person_id"], row["channel"], row["state"], row["reason"],
        row["attempt"], row["event_id"], row["source"], row["type"], row["traceparent"],
    )  # fmt: skip


async def settle(ledger: Ledger, settlements: Sequence[Settlement], shown: Sequence[Shown]) -> dict[UUID, str]:
    """Write outcomes back, each under its own token. Answers the state of each that was written.

    What is `shown` stands in the inbox exactly when its delivery is `sent`.
    """
    if not shown and all(one.state == "sent" for one in settlements):
        rows = await ledger.fetch(statement("settle_sent"), *zip(*map(_of_sent, settlements), strict=True))
    else:
        rows = await ledger.fetch(
            statement("settle"),
            *zip(*settlements, strict=True),
            *(zip(*shown, strict=True) if shown else [()] * len(Shown._fields)),
        )
    if late := [row["id"] for row in rows if row["is_late"]]:
        await ledger.fetch(statement("unbury"), late)
    return {row["id"]: row["state"] for row in rows}


def _of_sent(one: Settlement) -> tuple[UUID, int, str, str, str]:
    return one.id, one.token, one.reference, one.template_version, one.provider


async def wake(ledger: Ledger, limit: int) -> list[Ready]:
    """Make ready what has waited long enough. Answers what needs a job."""
    return _ready(await ledger.fetch(statement("wake"), limit))


async def reap(ledger: Ledger, limit: int) -> list[Ended]:
    """Resolve leases that ran out, by each delivery's policy. Answers what became of them."""
    return [_ended(row) for row in await ledger.fetch(statement("reap"), limit)]


async def expire(ledger: Ledger, channels: Sequence[str], limit: int) -> list[Ended]:
    """End what waits for a provider that rests and would come too late, up to a limit for each of these channels."""
    return [_ended(row) for row in await ledger.fetch(statement("expire"), channels, limit)]


async def overdue(ledger: Ledger, channel: str, lane: Lane, limit: int) -> list[Ready]:
    """Answer what is ready on this channel and lane and has lost its job; it is looked at again a minute later."""
    rows = await ledger.fetch(statement("overdue"), channel, lane, limit)
    return [Ready(row["id"], channel, lane) for row in rows]


async def mark(ledger: Ledger, queues: Sequence[tuple[str, Lane]]) -> list[Mark]:
    """Answer the marks that are to be put into some of these queues of a channel and lane now, each by one timer."""
    channels, lanes = [channel for channel, _ in queues], [lane for _, lane in queues]
    rows = await ledger.fetch(statement("mark"), channels, lanes)
    return [Mark(channel=row["channel"], lane=Lane(row["lane"]), at=row["sent_at"]) for row in rows]


async def mark_reached(ledger: Ledger, mark: Mark) -> None:
    """Note that a mark came back. Safe to call twice, and in any order."""
    await ledger.fetch(statement("mark_reached"), mark.channel, mark.lane, mark.at)


async def queued_of(ledger: Ledger, ids: Sequence[UUID]) -> list[Ready]:
    """Answer which of these still wait for a courier."""
    return _ready(await ledger.fetch(statement("queued_of"), ids))


async def sweep_paces(ledger: Ledger, part: int, parts: int) -> None:
    """Forget addresses that need not be spared any more, in one of so many equal parts of them; `part` from 0."""
    size = 2**64 // parts
    first = part * size - 2**63
    await ledger.fetch(statement("paces_swept"), first, first + size - 1)


async def gauges(ledger: Ledger) -> list[Record]:
    """Count what is not at an end, by channel, lane and state, with the age of the oldest that is ready."""
    return await ledger.fetch(statement("gauges"))


def _ready(rows: Sequence[Record]) -> list[Ready]:
    return [Ready(row["id"], row["channel"], Lane(row["lane"])) for row in rows]

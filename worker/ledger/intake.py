"""Writing what intake decided: one statement per batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import orjson

from schemas.catalogue import Lane
from worker.core.message import Event
from worker.core.plan import Decision, Plan, PlannedDelivery, PlannedNotification, Skip
from worker.core.routing import slice_lane
from worker.ledger.connection import Ledger, statement

EVENT_COLUMNS, NOTIFICATION_COLUMNS, DELIVERY_COLUMNS, FAN_OUT_COLUMNS = 17, 8, 14, 3


class Ready(NamedTuple):
    """A delivery that waits for a courier, and the queue its job belongs to."""

    id: UUID
    channel: str
    lane: Lane


async def record(
    ledger: Ledger, decisions: Sequence[Decision], copies: Mapping[UUID, int], edition: int | None = None
) -> list[UUID]:
    """Write events, notifications and deliveries. Answers the keys of events that were there before.

    Those keep their rows untouched. No key may occur twice in one call; `copies` says how often each had arrived.
    The deliveries are rendered in the words of this `edition` of the texts; None: of what is newest then.
    """
    rows = await ledger.fetch(
        statement("dispatch"),
        *_columns([_event_row(decision, copies[decision.event.key] - 1) for decision in decisions], EVENT_COLUMNS),
        *notification_columns(decisions),
        *delivery_columns(decisions),
        edition,
        *_columns([_fan_out_row(decision) for decision in decisions if decision.fan_out], FAN_OUT_COLUMNS),
    )
    return [row["key"] for row in rows]


async def still_queued(ledger: Ledger, event_keys: Sequence[UUID]) -> list[Ready]:
    """Answer what of these events waits for a courier."""
    rows = await ledger.fetch(statement("still_queued"), event_keys)
    return [Ready(row["id"], row["channel"], Lane(row["lane"])) for row in rows]


def notification_columns(decisions: Sequence[Decision]) -> list[Sequence[object]]:
    """Answer the columns of the notifications decided, as the statements unnest them."""
    rows = [_notification_row(one.event, notification) for one in decisions for notification in one.notifications]
    return _columns(rows, NOTIFICATION_COLUMNS)


def delivery_columns(decisions: Sequence[Decision]) -> list[Sequence[object]]:
    """Answer the columns of the deliveries decided, as the statements unnest them."""
    rows = [
        _delivery_row(one.event, notification, delivery)
        for one in decisions
        for notification in one.notifications
        for delivery in notification.deliveries
    ]
    return _columns(rows, DELIVERY_COLUMNS)


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[Sequence[object]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _event_row(decision: Decision, repeats: int) -> tuple[object, ...]:
    event = decision.event
    # A directory event's payload is a person's addresses: they belong in the directory and nowhere else.
    data = event.data if event.info.routes else {}
    return (
        event.key, event.source, event.id, event.type, event.time, event.subject, event.actor, event.audience,
        event.priority, event.expires_at, event.version, _json(data), _json(event.extensions or {}),
        event.traceparent, decision.reason, repeats, decision.routes,
    )  # fmt: skip


def _fan_out_row(decision: Decision) -> tuple[object, ...]:
    return decision.event.key, slice_lane(decision.event.info), decision.expires_at


def _json(value: Mapping[str, object]) -> str:
    return orjson.dumps(value).decode() if value else "{}"


def _notification_row(event: Event, notification: PlannedNotification) -> tuple[object, ...]:
    return (
        notification.id, event.key, notification.person_id, notification.route, event.info.category,
        event.info.critical, notification.expires_at, notification.rule,
    )  # fmt: skip


def _delivery_row(event: Event, notification: PlannedNotification, delivery: PlannedDelivery) -> tuple[object, ...]:
    shared = (
        delivery.id, notification.id, event.key, notification.person_id, delivery.channel, delivery.address,
    )  # fmt: skip
    match delivery.decision:
        case Plan() as plan:
            fate: tuple[object, ...] = (plan.lane, "queued", "", "", plan.attempt_limit, plan.on_unsure)
        case Skip() as skip:
            fate = (Lane.NORMAL, "skipped", skip.reason, skip.detail, 0, "hold")
    return (*shared, *fate, notification.expires_at, delivery.decided_by)

"""What Kabar publishes back on `kabar.status`: one CloudEvents batch per flush and outcome.

Routing key: `delivery.<state>.<channel>`, so a service binds just what it cares for. The announcement follows the
ledger and may be repeated or, if a worker dies at that moment, missing: the ledger stays the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pydantic_core import to_json

CONTENT_TYPE = "application/cloudevents-batch+json"


class StatusChange(NamedTuple):
    """What became of one delivery. `id` is unique per delivery, attempt and state."""

    delivery_id: UUID
    notification_id: UUID
    event_id: str
    event_source: str
    event_type: str
    person_id: str
    channel: str
    state: str
    reason: str
    attempt: int
    traceparent: str | None = None
    """The producer's W3C trace context, handed on."""


def batch(changes: Sequence[StatusChange], at: datetime) -> bytes:
    """Encode changes of one state and channel as `application/cloudevents-batch+json`."""
    time = at.isoformat()
    return to_json([_cloud_event(change, time) for change in changes])


def _cloud_event(change: StatusChange, time: str) -> dict[str, object]:
    delivery_id = str(change.delivery_id)
    trace = {"traceparent": change.traceparent} if change.traceparent else {}
    return {
        "specversion": "1.0",
        "id": f"{delivery_id}:{change.attempt}:{change.state}",
        "source": "kabar",
        "type": f"kabar.delivery.{change.state}",
        "subject": delivery_id,
        "time": time,
        **trace,
        "data": {
            "event_id": change.event_id,
            "event_source": change.event_source,
            "event_type": change.event_type,
            "notification_id": str(change.notification_id),
            "person_id": change.person_id,
            "channel": change.channel,
            "state": change.state,
            "reason": change.reason,
            "attempt": change.attempt,
        },
    }


def letter_batch(letters: Sequence[tuple[str, str, str, str]], at: datetime) -> bytes:
    """Encode dead letters of events, each as (letter id, event id, event type, reason)."""
    time = at.isoformat()
    return to_json(
        [
            {
                "specversion": "1.0",
                "id": f"{letter_id}:{time}",
                "source": "kabar",
                "type": "kabar.event.dead",
                "subject": letter_id,
                "time": time,
                "data": {"event_id": event_id, "event_type": event_type, "reason": reason},
            }
            for letter_id, event_id, event_type, reason in letters
        ]
    )

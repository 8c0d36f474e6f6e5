"""What arrives and what it becomes: the raw message, the accepted event, or the reason it was rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue

from schemas.catalogue import EventData, EventInfo, Priority
from schemas.envelope import MAX_BODY_BYTES

_VERSION_AND_VARIANT = 0xF000C000000000000000
_VERSION_5 = 0x50008000000000000000
EVENT_SPACE = UUID("6b616261-7200-5000-8000-000000000001")
UNREADABLE_TIME = datetime.max.replace(tzinfo=UTC)
"""Stands for a timestamp of AMQP that lies beyond the last year."""
UNREADABLE_HEADERS = "x-kabar-unreadable"
"""The only header of a message whose headers could not be read."""
NO_MESSAGE_ID = "x-kabar-no-message-id"
"""Marks a message that Kabar moved and that had no id: the AMQP library makes one up for whatever has none."""

CURSOR = "x-kabar-cursor"
"""Marks a message that goes on telling a large audience: the id of the last person told, '' at the beginning."""


class RawMessage(NamedTuple):
    """One message as the broker gave it. `deliveries_before`: how often it was handed out and came back unsettled."""

    body: bytes
    routing_key: str
    content_type: str = ""
    headers: Mapping[str, object] = MappingProxyType({})
    message_id: str | None = None
    timestamp: datetime | None = None
    app_id: str | None = None
    deliveries_before: int = 0


class Event(NamedTuple):
    """An event that passed every check. `key` is derived from source and id; `data` is the payload as JSON values."""

    key: UUID
    id: str
    source: str
    info: EventInfo
    type: str
    time: datetime
    data: Mapping[str, JsonValue]
    payload: EventData
    persons: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    audience: str | None = None
    subject: str | None = None
    actor: str | None = None
    priority: Priority | None = None
    expires_at: datetime | None = None
    version: int = 1
    traceparent: str | None = None
    extensions: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why an event cannot be taken in: a stable code, the field at fault, and what the producer should do."""

    code: str
    field: str
    remedy: str
    event_id: str = ""
    event_type: str = ""


def body_too_large(body: bytes) -> Rejected | None:
    """Answer why a body is not read at all, if it is so large."""
    if len(body) <= MAX_BODY_BYTES:
        return None
    remedy = f"{len(body)} bytes; at most {MAX_BODY_BYTES}: send a link to what is big"
    return Rejected("body_too_large", "body", remedy)


def event_key(source: str, event_id: str) -> UUID:
    """Derive the key of an event: the same source and id give the same key for ever."""
    return derived(EVENT_SPACE, f"{source}\n{event_id}")


def derived(space: UUID, name: str) -> UUID:
    """Answer `uuid.uuid5(space, name)` (RFC 9562, 5.5) in half its time: intake makes three for each event."""
    number = int.from_bytes(sha1(space.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    return UUID(int=number & ~_VERSION_AND_VARIANT | _VERSION_5)

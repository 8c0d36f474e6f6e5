"""What arrives in the broker's dead queues, read as a dead letter. Pure.

An event that Kabar rejected carries its reason in headers; one that the broker gave up on carries RabbitMQ's
`x-death`. Source: RabbitMQ, "Dead Letter Exchanges", effects on messages.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid5

import orjson

from worker.core.fingerprint import fingerprint, steady
from worker.core.message import EVENT_SPACE, RawMessage, body_too_large

CODE: Final = "x-kabar-reason"
FIELD: Final = "x-kabar-field"
REMEDY: Final = "x-kabar-remedy"
PLACE: Final = "x-kabar-place"
_ORIGINAL_KEY: Final = "x-kabar-routing-key"
_OURS: Final = ("x-kabar-", "x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
_BYTES, _MOMENT, _DECIMAL, _TABLE = "$base64", "$moment", "$decimal", "$table"
_BROKER_SAID: Final = {
    "delivery_limit": ("killed_workers", "each worker that took it died: find out why before you replay it"),
    "rejected": ("headers_too_large", "its headers leave no room for a reason: send less in headers"),
}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event or job that needs a human. The same message has the same id, however often it arrives."""

    id: UUID
    event_id: str
    event_type: str
    stage: str
    reason: str
    field: str
    remedy: str
    fingerprint: str
    body: bytes
    properties: str
    """JSON: content_type, message_id, timestamp, app_id, headers (the producer's own)."""
    routing_key: str


def read_dead(message: RawMessage) -> DeadLetter:
    """Read a message from a dead queue."""
    message = message._replace(routing_key=_first_key(message))
    headers = message.headers
    reason, field, remedy = (_text(headers.get(name)) for name in (CODE, FIELD, REMEDY))
    if not reason:
        reason, field, remedy = _unsaid(message)
    properties = _properties(message)
    event_type = _clean(_type_of(message))
    place = _text(headers.get(PLACE))
    stage = "intake" if place else "accept"
    return DeadLetter(
        id=uuid5(EVENT_SPACE, f"dead\n{message.routing_key}\n{properties}\n{base64.b85encode(message.body).decode()}"),
        event_id=_clean(_id_of(message)),
        event_type=event_type,
        stage=stage,
        reason=_clean(reason),
        field=_clean(field),
        remedy=_clean(remedy),
        fingerprint=fingerprint(stage, event_type, reason, f"{steady(field)} {place}".strip()),
        body=message.body,
        properties=properties,
        routing_key=_clean(message.routing_key),
    )


def _unsaid(message: RawMessage) -> tuple[str, str, str]:
    """Answer reason, field and remedy of what was moved here by the broker, and so carries none."""
    said = _broker_reason(message.headers)
    too_large = body_too_large(message.body)
    if said == "rejected" and too_large:
        return too_large.code, too_large.field, too_large.remedy
    reason, remedy = _BROKER_SAID.get(said, (said or "unknown", "the broker gave up on it"))
    return reason, "", remedy


def revive(body: bytes, properties: str, routing_key: str) -> RawMessage:
    """Make the message of a dead letter again, as its producer sent it."""
    known = orjson.loads(properties)
    timestamp = known["timestamp"]
    return RawMessage(
        body=body,
        routing_key=routing_key,
        content_type=known["content_type"],
        headers={name: _from_json(value) for name, value in known["headers"].items()},
        message_id=known["message_id"],
        timestamp=datetime.fromisoformat(timestamp) if timestamp else None,
        app_id=known["app_id"],
    )


def _properties(message: RawMessage) -> str:
    return orjson.dumps(
        {
            "content_type": message.content_type,
            "message_id": message.message_id,
            "timestamp": message.timestamp.isoformat() if message.timestamp else None,
            "app_id": message.app_id,
            "headers": {name: _to_json(value) for name, value in own_headers(message.headers).items()},
        },
        default=str,
    ).decode()


def own_headers(headers: Mapping[str, object]) -> dict[str, object]:
    """Answer the headers that the producer set, without the broker's and Kabar's."""
    return {name: value for name, value in headers.items() if not name.startswith(_OURS)}


def _to_json(value: object) -> object:
    """Write what AMQP can say and JSON cannot as an object with one name of ours; so is a table that looks like one."""
    match value:
        case bytes():
            return {_BYTES: base64.b64encode(value).decode()}
        case datetime():
            return {_MOMENT: value.isoformat()}
        case Decimal():
            return {_DECIMAL: str(value)}
        case list():
            return [_to_json(part) for part in value]
        case dict():
            table = {name: _to_json(part) for name, part in value.items()}
            return {_TABLE: table} if any(name.startswith("$") for name in table) else table
        case _:
            return value


def _from_json(value: object) -> object:
    match value:
        case {"$base64": str(text)}:
            return base64.b64decode(text)
        case {"$moment": str(text)}:
            return datetime.fromisoformat(text)
        case {"$decimal": str(text)}:
            return Decimal(text)
        case {"$table": dict(table)} | dict(table):
            return {name: _from_json(part) for name, part in table.items()}
        case list():
            return [_from_json(part) for part in value]
        case _:
            return value


def _first_key(message: RawMessage) -> str:
    """Answer the producer's routing key: the broker puts the dead-letter key in its place, and the first in x-death."""
    deaths = message.headers.get("x-death")
    if _ORIGINAL_KEY in message.headers or not (isinstance(deaths, list) and deaths and isinstance(deaths[-1], dict)):
        return message.routing_key
    keys = deaths[-1].get("routing-keys")
    return (_text(keys[0]) if isinstance(keys, list) and keys else "") or message.routing_key


def _broker_reason(headers: Mapping[str, object]) -> str:
    deaths = headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        return _text(deaths[0].get("reason"))
    return ""


def _type_of(message: RawMessage) -> str:
    return _attribute(message, "type") or message.routing_key


def _id_of(message: RawMessage) -> str:
    return _attribute(message, "id") or message.message_id or ""


def _attribute(message: RawMessage, name: str) -> str:
    """Answer an attribute of a message that may be of any form, or of none."""
    for prefix in ("cloudEvents:", "cloudEvents_", "ce-"):
        if prefix + name in message.headers:
            return _text(message.headers[prefix + name])
    if not message.content_type.lower().startswith("application/cloudevents+json"):
        return ""
    try:
        document = orjson.loads(message.body)
    except orjson.JSONDecodeError:
        return ""
    return _text(document.get(name)) if isinstance(document, dict) else ""


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def _clean(value: str) -> str:
    return value.replace("\x00", "")[:500]

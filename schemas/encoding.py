"""An event as it goes over the wire: CloudEvents JSON, checked before it is sent as Kabar will check it. No broker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypedDict, Unpack
from uuid import uuid4

from pydantic_core import to_json

from schemas.catalogue import EventData, Priority
from schemas.envelope import MAX_BODY_BYTES, Envelope
from schemas.errors import TooLarge
from schemas.trace_context import current_traceparent

MAX_ID_BYTES: Final = 255
"""The id travels as the AMQP property `message_id` too, which is a short string."""
EXTENSION_NAME: Final = re.compile(r"[a-z0-9]{1,20}")
"""CloudEvents 1.0.2, "spec.md", naming conventions."""


class Attributes(TypedDict, total=False):
    """What an event may carry beside its data; each may be left out.

    id: names the event together with the source, random unless given; the same id again notifies nobody twice.
    type: only for open types (`custom.*`): the concrete type, which must fit the pattern.
    time: when it happened, aware; now unless given.
    audience: who should know, `user:u1 role:admin`, instead of the audience of the type's first route.
    actor: the person who caused it, and so is not told of it.
    traceparent: W3C Trace Context, carried through to the deliveries; OpenTelemetry's current span unless given.
    extensions: further CloudEvents attributes, named by at most 20 lower-case letters and digits; kept, not read.
    """

    id: str | None
    type: str | None
    time: datetime | None
    subject: str | None
    audience: str | None
    priority: Priority | None
    expires_at: datetime | None
    actor: str | None
    traceparent: str | None
    extensions: Mapping[str, str | int | bool] | None


@dataclass(frozen=True, slots=True)
class Encoded:
    """An event ready for the wire, or for an outbox: what it is called, where it goes, and its CloudEvents JSON."""

    event_id: str
    routing_key: str
    body: bytes


def encode(data: EventData, *, source: str, **attributes: Unpack[Attributes]) -> Encoded:
    """Encode one event as CloudEvents 1.0 structured JSON. Pure, when `id` and `time` are given.

    Raises `TooLarge` over 256 KiB, and `ValueError` for an attribute that Kabar would reject.
    """
    if unknown := attributes.keys() - Attributes.__annotations__.keys():
        raise TypeError(f"an event has no attribute {min(unknown)!r}; hand it in by `extensions`")
    extensions = attributes.get("extensions") or {}
    _check_extensions(extensions)
    envelope = Envelope.model_validate(
        {
            **extensions,
            "id": attributes.get("id") or str(uuid4()),
            "source": source,
            "type": _concrete_type(data.info.type, attributes.get("type")),
            "time": attributes.get("time") or datetime.now(UTC),
            "subject": attributes.get("subject"),
            "audience": attributes.get("audience"),
            "priority": attributes.get("priority"),
            "expiresat": attributes.get("expires_at"),
            "actor": attributes.get("actor"),
            "traceparent": attributes.get("traceparent") or current_traceparent(),
            "schemaversion": data.info.version,
            "data": data.model_dump(mode="json"),
        }
    )
    if len(envelope.id.encode()) > MAX_ID_BYTES:
        raise ValueError(f"id is over {MAX_ID_BYTES} bytes; use a shorter one")
    encoded = Encoded(
        envelope.id, envelope.type, to_json({name: value for name, value in envelope if value is not None})
    )
    check_size(encoded)
    return encoded


def check_size(event: Encoded) -> None:
    """Raise `TooLarge` for what Kabar would not take."""
    size = len(event.body)
    if size > MAX_BODY_BYTES:
        raise TooLarge(event.event_id, f"{size} bytes, but the limit is {MAX_BODY_BYTES}; publish a link instead")


def _concrete_type(pattern: str, wanted: str | None) -> str:
    if not pattern.endswith(".*"):
        if wanted not in {None, pattern}:
            raise ValueError(f"type {wanted!r} does not fit the data, which is {pattern!r}; leave it out")
        return pattern
    if wanted is None or not wanted.startswith(pattern[:-1]):
        raise ValueError(f"type {wanted!r} does not fit {pattern!r}; name one that begins with {pattern[:-1]!r}")
    return wanted


def _check_extensions(extensions: Mapping[str, object]) -> None:
    taken = {*Envelope.model_fields, "datacontenttype"}
    for name in extensions:
        if name in taken or not EXTENSION_NAME.fullmatch(name):
            raise ValueError(
                f"extension {name!r}: use at most 20 lower-case letters and digits, and no name of CloudEvents"
            )

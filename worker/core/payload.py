"""The payload within a dead event's message: taken out to be mended, and put back. Pure.

In a structured CloudEvent it is the member `data`, in the two other forms the whole body.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from pydantic import JsonValue

from schemas.envelope import STRUCTURED
from worker.core.message import RawMessage

Payload = dict[str, JsonValue]


class Unreadable(NamedTuple):
    """Why there is no payload to be found."""

    why: str


def payload_of(message: RawMessage) -> JsonValue | Unreadable:
    """Answer what stands where the payload belongs, be it what it may."""
    document = _json(message.body)
    if not _is_structured(message):
        return document
    if not isinstance(document, dict):
        return Unreadable("its body is no CloudEvent, and nothing but the payload of one can be edited")
    return document.get("data")


def with_payload(message: RawMessage, payload: Payload) -> RawMessage:
    """Answer the message with another payload, and everything around it as it was.

    Only for a message of which `payload_of` answers something.
    """
    document = {**_envelope(message), "data": payload} if _is_structured(message) else payload
    return message._replace(body=json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def _envelope(message: RawMessage) -> Payload:
    document = _json(message.body)
    return document if isinstance(document, dict) else {}


def _is_structured(message: RawMessage) -> bool:
    return message.content_type.partition(";")[0].strip().lower() == STRUCTURED


def _json(body: bytes) -> JsonValue:
    """Read JSON; None where it is none."""
    try:
        document: JsonValue = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document

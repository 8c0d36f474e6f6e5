"""Stage 1: raw messages become events, or rejects with the field at fault and the remedy. Pure.

Three forms are understood: CloudEvents structured (the envelope is the JSON body), CloudEvents binary (attributes
in headers with one of three prefixes, the body is the payload), and plain JSON (the envelope in AMQP properties).
Sources: CloudEvents AMQP binding 1.0.2; prefix `ce-` as used by Knative's RabbitMQ binding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import orjson
from pydantic import ValidationError

from schemas.catalogue import Catalogue, EventInfo
from schemas.envelope import BATCH, MAX_HEADER_BYTES, STRUCTURED, Envelope, audience_entries
from worker.core.message import (
    UNREADABLE_HEADERS,
    UNREADABLE_TIME,
    Event,
    RawMessage,
    Rejected,
    body_too_large,
    event_key,
)

_PREFIXES = ("cloudEvents:", "cloudEvents_", "ce-")
_JSON_TYPES = ("", "application/json", "text/json")
_OWN_HEADERS = "x-"
_MEND = "mend it where it is published, and this one with `kabar dead edit`"
MAX_PERSONS = 500
"""People one event can name; more go in several events, or by a role."""
MAX_DEPTH = 100
"""Levels of lists and objects in a body. What writes JSON again further on gives up at 254."""


def accept(messages: Sequence[RawMessage], catalogue: Catalogue, now: datetime) -> list[Event | Rejected]:
    """Judge each message, in order. A bad one never harms its neighbours."""
    return [_accept_one(message, catalogue, now) for message in messages]


def _accept_one(message: RawMessage, catalogue: Catalogue, now: datetime) -> Event | Rejected:
    attributes = _attributes(message)
    if isinstance(attributes, Rejected):
        return attributes
    envelope = _envelope(attributes)
    if isinstance(envelope, Rejected):
        return envelope
    info = catalogue.find(envelope.type)
    if info is None:
        return _reject(
            envelope, "type_unknown", "type",
            f"no event type {envelope.type!r} is known here; check its spelling, or add it to the catalogue",
        )  # fmt: skip
    if envelope.schemaversion > info.version:
        return _reject(
            envelope, "version_unknown", "schemaversion",
            f"version {envelope.schemaversion} of {info.type} is newer than {info.version}, the newest known here;"
            " upgrade Kabar, then replay",
        )  # fmt: skip
    return _with_payload(envelope, info, now)


def _attributes(message: RawMessage) -> dict[str, object] | Rejected:
    """Bring the three forms to one: a mapping of attributes, the payload under `data`."""
    if too_large := body_too_large(message.body):
        return too_large
    if _size_of(message.headers) > MAX_HEADER_BYTES:
        return Rejected("headers_too_large", "headers", f"at most {MAX_HEADER_BYTES} bytes of headers")
    if UNREADABLE_HEADERS in message.headers:
        return Rejected(
            "headers_unreadable", "headers", "a name is not UTF-8, or the table is broken; see AMQP 4.2.5.5"
        )
    content_type = message.content_type.partition(";")[0].strip().lower()
    if content_type == BATCH:
        return Rejected("content_type", "content_type", "publish one event a message, as application/cloudevents+json")
    if content_type != STRUCTURED and content_type not in _JSON_TYPES:
        return Rejected(
            "content_type",
            "content_type",
            f"{content_type[:80]!r} is not understood; use {STRUCTURED} or application/json",
        )
    try:
        document = orjson.loads(message.body)
    except orjson.JSONDecodeError as error:
        return Rejected("not_json", "body", f"not JSON: {error}; publish one JSON object, in UTF-8, as the body")
    if not isinstance(document, dict):
        return Rejected("not_json", "body", "the body must be a JSON object")
    attributes = document if content_type == STRUCTURED else _binary(message, document) or _plain(message, document)
    if attributes.get("time") is UNREADABLE_TIME:
        return Rejected("time_invalid", "time", "the timestamp lies beyond the year 9999; it counts seconds, not less")
    return _flaw_in(attributes) or attributes if _may_have_flaw(message) else attributes


def _binary(message: RawMessage, data: dict[str, object]) -> dict[str, object] | None:
    """Answer the attributes of a CloudEvents binary message; None where no header has one of the prefixes."""
    attributes: dict[str, object] = {}
    for name, value in message.headers.items():
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                attributes[name[len(prefix) :].lower()] = _text(value)
    if not attributes:
        return None
    for name in ("traceparent", "tracestate"):
        if name in message.headers:
            attributes.setdefault(name, _text(message.headers[name]))
    attributes["data"] = data
    return attributes


def _plain(message: RawMessage, data: dict[str, object]) -> dict[str, object]:
    attributes: dict[str, object] = {
        name: _text(value) for name, value in message.headers.items() if not name.lower().startswith(_OWN_HEADERS)
    }
    attributes |= {
        "specversion": "1.0",
        "id": message.message_id,
        "source": message.app_id or "amqp",
        "type": message.routing_key,
        "time": message.timestamp,
        "data": data,
    }
    return attributes


def _envelope(attributes: Mapping[str, object]) -> Envelope | Rejected:
    try:
        return Envelope.model_validate(attributes)
    except ValidationError as error:
        field, what = _first_error(error)
        if field == "id" and attributes.get("id") is None:
            what = "an event needs an id: the property message_id, or the attribute id of a CloudEvent"
        code = {"id": "id_invalid", "time": "time_invalid", "data": "data_invalid"}.get(field, "envelope_invalid")
        return Rejected(
            code, field, what, event_id=_short(attributes.get("id")), event_type=_short(attributes.get("type"))
        )


def _with_payload(envelope: Envelope, info: EventInfo, now: datetime) -> Event | Rejected:
    try:
        payload = info.model.model_validate(envelope.data, extra="ignore")
    except ValidationError as error:
        field, what = _first_error(error)
        return _reject(envelope, "payload_invalid", f"data.{field}", f"{what}; {_MEND}")
    persons, roles = audience_entries(envelope.audience) if envelope.audience else (None, None)
    if persons and len(persons) > MAX_PERSONS:
        return _reject(
            envelope, "audience_too_large", "audience",
            f"{len(persons)} people; at most {MAX_PERSONS} an event: publish several, or name a role",
        )  # fmt: skip
    return Event(
        key=event_key(envelope.source, envelope.id),
        id=envelope.id,
        source=envelope.source,
        info=info,
        type=envelope.type,
        time=envelope.time.astimezone(UTC) if envelope.time else now,
        data=envelope.data,
        payload=payload,
        persons=persons,
        roles=roles,
        audience=envelope.audience,
        subject=envelope.subject,
        actor=envelope.actor,
        priority=envelope.priority,
        expires_at=envelope.expiresat,
        version=envelope.schemaversion,
        traceparent=envelope.traceparent,
        extensions=envelope.model_extra,
    )


def _reject(envelope: Envelope, code: str, field: str, remedy: str) -> Rejected:
    return Rejected(code, field, remedy, event_id=envelope.id, event_type=envelope.type)


def _first_error(error: ValidationError) -> tuple[str, str]:
    """Answer the path and the message of the first error; never the value, which may be private."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    *parts, last = first["loc"] or ("body",)
    # A key that is wrong is the producer's value, and may be an address.
    path = ".".join(str(part) for part in ((*parts[:-1], last) if last == "[key]" else (*parts, last)))
    return path[:200], first["msg"].removeprefix("Value error, ")[:300]


def _may_have_flaw(message: RawMessage) -> bool:
    """Say whether a look into every value is worth its time: most messages show by their bytes that it is not."""
    body = message.body
    return bool(message.headers) or b"\\u0000" in body or body.count(b"[") + body.count(b"{") > MAX_DEPTH


def _flaw_in(attributes: Mapping[str, object]) -> Rejected | None:
    """Answer what the ledger could not hold: a NUL, or too many levels. No recursion: both may be hostile."""
    waiting: list[tuple[str, object, int]] = [("", attributes, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return Rejected("too_deep", path[:200], f"more than {MAX_DEPTH} levels of lists and objects; flatten it")
        parts: Iterable[tuple[object, object]] = ()
        match value:
            case str() if "\x00" in value:
                return Rejected(
                    "nul_character", path[:200], "the text contains a NUL, which no medium can show; remove it"
                )
            case dict():
                parts = value.items()
            case list():
                parts = enumerate(value)
            case _:
                pass
        for name, part in parts:
            inside = f"{path}.{name}".lstrip(".").replace("\x00", "")
            if isinstance(name, str) and "\x00" in name:
                waiting.append((inside, name, depth))
            waiting.append((inside, part, depth + 1))
    return None


def _size_of(headers: Mapping[str, object]) -> int:
    return sum(_bytes_of(name) + _bytes_of(value) for name, value in headers.items())


def _bytes_of(value: object) -> int:
    return len(value) if isinstance(value, bytes) else len(str(value).encode(errors="replace"))


def _text(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime | bool | int | float | str) or value is None:
        return value
    return str(value)


def _short(value: object) -> str:
    return value[:256] if isinstance(value, str) else ""

"""The envelope of an event: CloudEvents 1.0 attributes plus the few that Kabar adds.

An event arrives in one of three forms (CloudEvents structured, CloudEvents binary, plain JSON with AMQP
properties); all become this one model. Attributes that Kabar does not know are kept as extensions.
Sources: CloudEvents 1.0.2 "spec.md" and "json-format.md"; W3C Trace Context for `traceparent`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from schemas.catalogue import Priority

MAX_BODY_BYTES = 256 * 1024
MAX_HEADER_BYTES = 8 * 1024
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

Word = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
EventType = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")
]
AudienceText = Annotated[
    str,
    StringConstraints(
        max_length=64 * 1024, pattern=r"^\s*((user|role):[^\s\x00-\x1f\x7f]+\s*)+$", strip_whitespace=True
    ),
]


def _has_utc_form(value: datetime) -> datetime:
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside of the years 1 to 9999 in UTC") from None
    return value


Moment = Annotated[AwareDatetime, AfterValidator(_has_utc_form)]


class Envelope(BaseModel):
    """One event as its producer published it. `source` and `id` together name it for ever."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=False)

    specversion: Literal["1.0"] = "1.0"
    id: Word
    source: Word
    type: EventType
    time: Moment | None = None
    subject: Word | None = None
    audience: AudienceText | None = None
    """Who should know: `user:u1 user:u2 role:admin`. Replaces the audience of the type's first route."""
    priority: Priority | None = None
    expiresat: Moment | None = None
    actor: Word | None = None
    """The person who caused the event, and so is not told of it."""
    schemaversion: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """The version of the payload's model that the producer wrote."""
    traceparent: Word | None = None
    tracestate: Word | None = None
    data: dict[str, JsonValue]

    def extensions(self) -> dict[str, JsonValue]:
        """Answer the attributes that Kabar does not know, as they came."""
        return dict(self.model_extra or {})


def audience_entries(audience: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split an audience into (person ids, roles), each without repetitions, in the order given."""
    persons: dict[str, None] = {}
    roles: dict[str, None] = {}
    for entry in audience.split():
        kind, _, value = entry.partition(":")
        (persons if kind == "user" else roles)[value] = None
    return tuple(persons), tuple(roles)

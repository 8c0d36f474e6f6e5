"""Dead letters as lines of JSON: written from the ledger's rows, and read back strictly.

A body that is UTF-8 stands as text, so that it can be searched and read; any other in base64.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Annotated, BinaryIO, Literal, NamedTuple
from uuid import UUID

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from worker.core.dead_letter import revive
from worker.ledger.connection import Record
from worker.ledger.dead_letters import COLUMNS

MAX_LINE_BYTES = 96 * 1024 * 1024
"""As much as a message of RabbitMQ's greatest size takes, each byte written as six."""
_ERRORS_NAMED = 3


def _has_no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("holds a NUL, which the ledger cannot")
    return text


Text = Annotated[str, Field(max_length=2000), AfterValidator(_has_no_nul)]


class LetterLine(BaseModel):
    """One letter. What it lacks of `body` and `body_base64` is null; a delivery's letter has neither."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: UUID
    kind: Literal["event", "delivery", "job"]
    delivery_id: UUID | None
    event_id: Text | None
    event_type: Text
    channel: Text
    stage: Text
    reason: Text
    field: Text
    remedy: Text
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
    body: str | None = None
    body_base64: str | None = None
    properties: dict[str, JsonValue] | None
    routing_key: Text | None
    state: Literal["open", "replayed", "dropped"]
    arrivals: Annotated[int, Field(ge=1, le=2**31 - 1)]
    created_at: AwareDatetime
    resolved_at: AwareDatetime | None
    first_seen_at: AwareDatetime
    kabar_version: Text
    template_version: Text
    provider: Text

    @model_validator(mode="after")
    def _is_whole(self) -> LetterLine:
        if (self.kind == "delivery") != (self.delivery_id is not None):
            raise ValueError("a delivery's letter has a delivery_id, and no other")
        if (self.state == "open") == (self.resolved_at is not None):
            raise ValueError("a letter that is not open has resolved_at, and no other")
        if self.kind != "delivery":
            self._check_message()
        return self

    def _check_message(self) -> None:
        body = self.message_body()
        if body is None or self.properties is None or self.routing_key is None:
            raise ValueError("an event's letter has body or body_base64, properties and routing_key")
        try:
            revive(body, orjson.dumps(self.properties).decode(), self.routing_key)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            raise ValueError("of these properties no message can be made again") from None

    def message_body(self) -> bytes | None:
        """Answer the message's bytes; None where there is no message."""
        if self.body_base64 is not None:
            return base64.b64decode(self.body_base64, validate=True)
        return self.body.encode() if self.body is not None else None

    def row(self) -> tuple[object, ...]:
        """Answer it as the ledger keeps it, in the order of its columns."""
        properties = orjson.dumps(self.properties).decode() if self.properties is not None else None
        return (
            self.id, self.kind, self.delivery_id, self.event_id, self.event_type, self.channel, self.stage, self.reason,
            self.field, self.remedy, self.fingerprint, self.message_body(), properties, self.routing_key, self.state,
            self.arrivals, self.created_at, self.resolved_at, self.first_seen_at, self.kabar_version,
            self.template_version, self.provider,
        )  # fmt: skip


class BadLine(NamedTuple):
    """A line that cannot be used, and why. `number` counts from 1."""

    number: int
    why: str


class GoodLine(NamedTuple):
    """A line with a letter. `size` in bytes."""

    number: int
    size: int
    letter: LetterLine


def write_line(letter: Record) -> bytes:
    """Write one row of the ledger, with the line's end."""
    known: dict[str, object] = {name: letter[name] for name in COLUMNS if name != "body"}
    known |= _body(letter["body"])
    known["properties"] = orjson.Fragment(letter["properties"]) if letter["properties"] else None
    return orjson.dumps(known, default=str, option=orjson.OPT_APPEND_NEWLINE)


def read_lines(stream: BinaryIO) -> Iterator[GoodLine | BadLine]:
    """Read every line that is not blank."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            yield BadLine(number, f"longer than {MAX_LINE_BYTES} bytes; what follows was not read")
            return
        if line.strip():
            yield _read(number, line)


def _body(body: bytes | None) -> dict[str, str]:
    if body is None:
        return {}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _read(number: int, line: bytes) -> GoodLine | BadLine:
    try:
        return GoodLine(number, len(line), LetterLine.model_validate_json(line))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)[:_ERRORS_NAMED]
        return BadLine(number, "; ".join(_say(one["loc"], one["msg"]) for one in problems))


def _say(location: tuple[int | str, ...], what: str) -> str:
    place = ".".join(map(str, location[:1]))
    return f"{place}: {what}" if place else what.removeprefix("Value error, ")

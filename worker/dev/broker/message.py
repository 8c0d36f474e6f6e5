"""A message as it lies in queues: its properties stay the bytes the publisher sent, and are changed piece by piece.

Decoding and encoding again would change what a consumer sees (a double becomes a float, a 64-bit number shrinks), so
only what the broker itself writes is spliced in: `x-delivery-count`, `x-death` and its companions. Knows no queues.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from pamqp import common, decode

from worker.dev.broker.wire import short_string

HEADERS, EXPIRATION = 0x2000, 0x0100
# Bits of the property flags in wire order, with the shape of each value (AMQP 0-9-1 section 4.2.6.1).
_SHAPES = (
    (0x8000, "text"),
    (0x4000, "text"),
    (HEADERS, "table"),
    (0x1000, "octet"),
    (0x0800, "octet"),
    (0x0400, "text"),
    (0x0200, "text"),
    (EXPIRATION, "text"),
    (0x0080, "text"),
    (0x0040, "time"),
    (0x0020, "text"),
    (0x0010, "text"),
    (0x0008, "text"),
    (0x0004, "text"),
)
_UNKNOWN_FLAGS = 0x0003
_FORGED_COUNT = 2**31


@dataclass(slots=True)
class Message:
    """What was published. Shared by all queues it went to, so nothing changes it (unfrozen only because it is hot).

    `address` is exchange and routing key as `basic.deliver` carries them. `expiration_ms` is the publisher's, or none.
    """

    exchange: str
    routing_key: str
    address: bytes
    properties: bytes
    body: bytes
    expiration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Death:
    """One entry of `x-death`: how often a message died of this in this queue, the first time at `at_seconds`."""

    queue: str
    reason: str
    exchange: str
    routing_keys: tuple[str, ...]
    at_seconds: int
    count: int = 1
    original_expiration: str = ""


def split_properties(raw: bytes) -> dict[int, bytes]:
    """Cut properties into their encoded values by flag; raises `ValueError` or `IndexError` where they are broken."""
    flags = int.from_bytes(raw[:2])
    parts: dict[int, bytes] = {}
    at = 2
    for bit, shape in _present(flags):
        end = at + _size(raw, at, shape)
        parts[bit] = raw[at:end]
        at = end
    if at != len(raw):
        raise ValueError("the properties' length does not fit their flags")
    return parts


def read_headers(parts: dict[int, bytes]) -> common.FieldTable:
    """Decode the headers table among properties that were split; raises `ValueError` where it is broken."""
    return decode.field_table(parts[HEADERS])[1] if HEADERS in parts else {}


def headers_of(message: Message) -> common.FieldTable:
    """Decode a message's headers table."""
    return read_headers(split_properties(message.properties))


def with_delivery_count(properties: bytes, count: int) -> bytes:
    """Give the properties with `x-delivery-count`, in the type that RabbitMQ uses for it."""
    return _with_headers(split_properties(properties), {"x-delivery-count": _long(count)})


def deaths_of(message: Message) -> list[Death]:
    """Read `x-death`, newest first. What a publisher forged and cannot be read counts as no death."""
    entries = headers_of(message).get("x-death")
    tables = entries if isinstance(entries, list) else []
    return [_read_death(table) for table in tables if isinstance(table, dict) and "queue" in table]


def buried(message: Message, death: Death, *, exchange: str, routing_key: str) -> Message:
    """Give the message that goes to the dead-letter exchange: `x-death` brought up to date, its expiration taken off.

    An entry of the same queue and reason is counted up and moved to the front; the first death of all stays in
    `x-first-death-queue`, `-reason` and `-exchange` (RabbitMQ, "Dead Letter Exchanges", effects on messages).
    """
    parts = split_properties(message.properties)
    if expiration := parts.pop(EXPIRATION, b""):
        death = replace(death, original_expiration=expiration[1:].decode())
    deaths = _counted(deaths_of(message), death)
    written = {"x-death": _array([_write_death(each) for each in deaths])}
    if "x-first-death-queue" not in read_headers(parts):
        written |= {
            "x-first-death-queue": _text(death.queue),
            "x-first-death-reason": _text(death.reason),
            "x-first-death-exchange": _text(death.exchange),
        }
    address = short_string(exchange) + short_string(routing_key)
    return Message(exchange, routing_key, address, _with_headers(parts, written), message.body)


@lru_cache(maxsize=1024)
def _present(flags: int) -> tuple[tuple[int, str], ...]:
    if flags & _UNKNOWN_FLAGS:
        raise ValueError("property flags that AMQP 0-9-1 does not know")
    return tuple((bit, shape) for bit, shape in _SHAPES if flags & bit)


def _size(raw: bytes, at: int, shape: str) -> int:
    match shape:
        case "text":
            return 1 + raw[at]
        case "table":
            return 4 + int.from_bytes(raw[at : at + 4])
        case "octet":
            return 1
        case _:
            return 8


def _with_headers(parts: dict[int, bytes], written: dict[str, bytes]) -> bytes:
    kept = b"".join(entry for key, entry in _entries(parts.get(HEADERS, b"")[4:]) if key not in written)
    table = kept + b"".join(short_string(key) + value for key, value in written.items())
    parts[HEADERS] = len(table).to_bytes(4) + table
    flags = sum(parts)
    return flags.to_bytes(2) + b"".join(parts[bit] for bit, _ in _SHAPES if bit in parts)


def _entries(table: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(table):
        key_end = at + 1 + table[at]
        consumed, _ = decode.embedded_value(table[key_end:])
        end = key_end + consumed
        yield table[at + 1 : key_end].decode(), table[at:end]
        at = end


def _counted(deaths: list[Death], death: Death) -> list[Death]:
    same = next((each for each in deaths if (each.queue, each.reason) == (death.queue, death.reason)), None)
    if same is None:
        return [death, *deaths]
    return [replace(same, count=same.count + 1), *(each for each in deaths if each is not same)]


def _read_death(table: common.FieldTable) -> Death:
    keys = table.get("routing-keys")
    at, count = table.get("time"), table.get("count")
    return Death(
        queue=str(table["queue"]),
        reason=str(table.get("reason", "")),
        exchange=str(table.get("exchange", "")),
        routing_keys=tuple(map(str, keys)) if isinstance(keys, list) else (),
        at_seconds=int(at.timestamp()) if isinstance(at, datetime) else 0,
        count=count if isinstance(count, int) and 0 < count < _FORGED_COUNT else 1,
        original_expiration=str(table.get("original-expiration", "")),
    )


def _write_death(death: Death) -> bytes:
    fields = {
        "count": _long(death.count),
        "exchange": _text(death.exchange),
        "queue": _text(death.queue),
        "reason": _text(death.reason),
        "routing-keys": _array([_text(key) for key in death.routing_keys]),
        "time": b"T" + struct.pack(">Q", death.at_seconds),
    }
    if death.original_expiration:
        fields["original-expiration"] = _text(death.original_expiration)
    table = b"".join(short_string(key) + value for key, value in fields.items())
    return b"F" + len(table).to_bytes(4) + table


def _long(value: int) -> bytes:
    return b"l" + struct.pack(">q", value)


def _text(value: str) -> bytes:
    raw = value.encode()
    return b"S" + len(raw).to_bytes(4) + raw


def _array(values: list[bytes]) -> bytes:
    joined = b"".join(values)
    return b"A" + len(joined).to_bytes(4) + joined
